// The form: links in, marked where they are wrong; the good ones are sent and leave, the others stay.

import { randomId } from './api.js';
import { readLinks, videosOf } from './links.js';
import { announce } from './notices.js';

const AT_ONCE = 50; // the most links the server takes in one request, unless its owner said otherwise
const A_CLICK_MS = 250; // what is being clicked when the box loses the focus must not move away under the pointer
const PROBLEMS_SHOWN = 6;
const QUALITY_KEY = 'ytmp3d.quality';

export class Converter {
  #form = document.getElementById('form');
  #text = document.getElementById('links');
  #marks = document.getElementById('marks');
  #problems = document.getElementById('problems');
  #button = document.getElementById('convert');
  #error = document.getElementById('form-error');
  #send;
  #sending = false;
  #listed = '[]'; // the problems on show
  #lastTry = null; // {body, idempotencyKey}: pressed again after a lost answer, nothing is converted twice

  /** `send(urls, quality, idempotencyKey)` converts them in one request, or throws when none of them was accepted and the rest should stay. */
  constructor(send) {
    this.#send = send;
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#text.addEventListener('input', (event) => {
      this.#error.textContent = '';
      this.#judge({ typing: !/^insertFrom/.test(event.inputType ?? '') });
    });
    this.#text.addEventListener('blur', () => setTimeout(() => this.#judge(), A_CLICK_MS));
    this.#text.addEventListener('keydown', (event) => {
      if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) this.#form.requestSubmit();
    });
    document.addEventListener('paste', (event) => this.#pasted(event));
    this.#acceptDrops();
    this.#rememberQuality();
    this.#judge();
  }

  focus() {
    this.#text.focus();
  }

  /** More text, on a line of its own. */
  add(text) {
    const before = this.#text.value.trimEnd();
    this.#text.value = (before ? `${before}\n` : '') + text.trim();
    this.#judge();
  }

  async #submit() {
    if (this.#sending) return;
    this.#error.textContent = '';
    const links = this.#judge();
    const videos = videosOf(links);
    if (videos.length === 0) {
      this.#error.textContent = links.length
        ? 'No YouTube video among these links.'
        : 'There is no link here yet. Paste one like https://www.youtube.com/watch?v=… or https://youtu.be/…';
      this.focus();
      return;
    }
    this.#sending = true;
    this.#button.setAttribute('aria-disabled', 'true');
    try {
      for (let at = 0; at < videos.length; at += AT_ONCE) {
        const chunk = videos.slice(at, at + AT_ONCE);
        await this.#sendAll(chunk.map((video) => video.url));
        this.#takeOut(new Set(chunk.map((video) => video.id)));
      }
      const left = readLinks(this.#text.value).length;
      if (left) announce(`${left} can’t be converted and ${left === 1 ? 'is' : 'are'} still in the box`);
    } catch {
      // `send` has told the reader why; what was not accepted is still in the box.
    } finally {
      this.#sending = false;
      this.#button.removeAttribute('aria-disabled');
      this.focus();
    }
  }

  async #sendAll(urls) {
    const quality = this.#form.elements.quality.value;
    const body = JSON.stringify([urls, quality]);
    if (this.#lastTry?.body !== body) this.#lastTry = { body, idempotencyKey: randomId() };
    try {
      await this.#send(urls, quality, this.#lastTry.idempotencyKey);
    } catch (error) {
      if (error.code !== 'BATCH_TOO_LARGE' || urls.length < 2) throw error;
      const half = Math.ceil(urls.length / 2);
      await this.#sendAll(urls.slice(0, half));
      await this.#sendAll(urls.slice(half));
    }
    this.#lastTry = null;
  }

  /** Leaves only the links that have a problem; when there is none, nothing, whatever words stood around the links. */
  #takeOut(ids) {
    const left = readLinks(this.#text.value).filter((link) => !ids.has(link.id));
    this.#text.value = left.map((link) => link.text).join('\n');
    this.#judge();
  }

  /** Reads the box again and shows what it finds. A link still being typed isn't called wrong. */
  #judge({ typing = false } = {}) {
    const links = readLinks(this.#text.value);
    const caret = typing ? this.#text.selectionEnd : null;
    const wrong = links.filter((link) => link.problem && !(caret !== null && link.start <= caret && caret <= link.end));
    this.#mark(wrong);
    this.#list(wrong);
    this.#text.setAttribute('aria-invalid', String(wrong.length > 0));
    const count = videosOf(links).length;
    this.#button.textContent = count > 1 ? `Convert ${count} videos` : 'Convert';
    return links;
  }

  #mark(wrong) {
    const text = this.#text.value;
    const pieces = [];
    let at = 0;
    for (const { start, end } of wrong) {
      const mark = document.createElement('mark');
      mark.textContent = text.slice(start, end);
      pieces.push(text.slice(at, start), mark);
      at = end;
    }
    this.#marks.replaceChildren(...pieces, `${text.slice(at)}\n`);
  }

  #list(wrong) {
    const state = JSON.stringify(wrong);
    if (this.#listed === state) return;
    this.#listed = state;
    const shown = wrong.slice(0, PROBLEMS_SHOWN).map((link) => this.#problem(link));
    this.#problems.replaceChildren(...shown, ...(wrong.length ? [this.#dismissal(wrong, wrong.length - shown.length)] : []));
  }

  #problem(link) {
    const item = document.createElement('li');
    const show = document.createElement('button');
    show.type = 'button';
    show.className = 'link';
    show.dir = 'ltr';
    show.textContent = link.text;
    show.title = 'Select it in the box';
    show.addEventListener('click', () => {
      this.focus();
      this.#text.setSelectionRange(link.start, link.end);
    });
    item.append(show, ' ', link.problem);
    return item;
  }

  /** The last line under the problems: how many more there are, and a way to be rid of them all. */
  #dismissal(wrong, more) {
    const item = document.createElement('li');
    const button = document.createElement('button');
    item.className = 'rest';
    button.type = 'button';
    button.className = 'link';
    button.textContent = wrong.length === 1 ? 'Take it out' : `Take all ${wrong.length} out`;
    button.addEventListener('click', () => {
      let text = this.#text.value;
      for (const { start, end } of wrong.toReversed()) text = text.slice(0, start) + text.slice(end);
      this.#text.value = text.replace(/\n{2,}/g, '\n').trim();
      this.#judge();
      this.focus();
    });
    item.append(...(more > 0 ? [`And ${more} more. `] : []), button);
    return item;
  }

  #pasted(event) {
    if (this.#form.offsetParent === null || event.target.closest?.('input, textarea')) return;
    const text = event.clipboardData.getData('text/plain');
    if (readLinks(text).length === 0) return;
    event.preventDefault();
    this.add(text);
    this.focus();
  }

  #acceptDrops() {
    const carriesText = (event) => [...event.dataTransfer.types].some((type) => type === 'text/uri-list' || type === 'text/plain');
    document.addEventListener('dragover', (event) => {
      if (this.#form.offsetParent === null || !carriesText(event)) return;
      event.preventDefault();
      event.dataTransfer.dropEffect = 'copy';
      this.#form.classList.add('dropping');
    });
    document.addEventListener('dragleave', (event) => {
      if (event.relatedTarget === null) this.#form.classList.remove('dropping');
    });
    document.addEventListener('drop', (event) => {
      this.#form.classList.remove('dropping');
      if (this.#form.offsetParent === null || !carriesText(event)) return;
      event.preventDefault();
      const uris = event.dataTransfer.getData('text/uri-list').split(/\r?\n/).filter((line) => line && !line.startsWith('#'));
      this.add(uris.length ? uris.join('\n') : event.dataTransfer.getData('text/plain'));
      this.focus();
    });
  }

  #rememberQuality() {
    const radios = this.#form.elements.quality;
    try {
      const last = localStorage.getItem(QUALITY_KEY);
      if ([...radios].some((radio) => radio.value === last)) radios.value = last;
      this.#form.addEventListener('change', () => localStorage.setItem(QUALITY_KEY, radios.value));
    } catch {
      // A browser that keeps nothing: the default it is.
    }
  }
}
