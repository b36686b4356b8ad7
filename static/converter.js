// The form: links in, marked where they are wrong; the good ones are sent and leave, the others stay.

import { readLinks, videosOf } from './links.js';
import { announce } from './notices.js';
import { PlaylistChooser } from './playlist.js';

const A_CLICK_MS = 250; // what is being clicked when the box loses the focus must not move away under the pointer
const PROBLEMS_SHOWN = 6;
const KEPT = 'ytmp3d.options';
const LOUDNESS = -14; // LUFS: what streaming services play at
const SIZES = { high: '320 kbps, 2.4 MB a minute', medium: '192 kbps, 1.4 MB a minute', low: '128 kbps, 1 MB a minute' };
const TOUCH = matchMedia('(pointer: coarse)'); // there the focus opens a keyboard over half the page
const ON_A_MAC = /Mac|iPhone|iPad/.test(navigator.platform);

export class Converter {
  #form = document.getElementById('form');
  #text = document.getElementById('links');
  #marks = document.getElementById('marks');
  #problems = document.getElementById('problems');
  #button = document.getElementById('convert');
  #error = document.getElementById('form-error');
  #send;
  #playlist;
  #sending = false;
  #listed = '[]'; // the problems on show

  /** `send(videos, options, accepted)` converts them and calls `accepted(urls)` after each request, or throws when the rest should stay. `look(url)` answers a playlist. */
  constructor(send, look) {
    this.#send = send;
    this.#playlist = new PlaylistChooser({
      look,
      convert: (videos, accepted) => send(videos, this.options, accepted),
      onDone: (link, { converted }) => this.#leaveList(link, converted),
    });
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#text.addEventListener('input', (event) => {
      this.#error.textContent = '';
      this.#judge({ typing: !/^insertFrom/.test(event.inputType ?? '') });
    });
    this.#text.addEventListener('blur', () => setTimeout(() => this.#judge(), A_CLICK_MS));
    this.#text.addEventListener('keydown', (event) => this.#pressed(event));
    if (ON_A_MAC) document.getElementById('control').textContent = '⌘';
    document.addEventListener('paste', (event) => this.#pasted(event));
    this.#offerPaste();
    this.#acceptDrops();
    this.#rememberOptions();
    this.#judge();
  }

  /** As `POST /convert` takes them. */
  get options() {
    const { quality, loudness } = this.#form.elements;
    return { quality: quality.value, ...(loudness.checked && { loudness: LOUDNESS }) };
  }

  /** Ready to type in; not where that opens a keyboard. */
  arrive() {
    if (!TOUCH.matches) this.focus();
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
    if (videos.length === 0 && this.#playlist.open) return this.#playlist.convert();
    if (videos.length === 0 && links.some(({ list }) => list)) return;
    if (videos.length === 0) {
      this.#error.textContent = links.length
        ? 'No YouTube video among these links.'
        : 'There is no link here yet. Paste one like https://www.youtube.com/watch?v=… or https://youtu.be/…';
      this.focus();
      return;
    }
    this.#sending = true;
    this.#button.setAttribute('aria-disabled', 'true');
    if (TOUCH.matches) this.#text.blur();
    try {
      await this.#send(videos, this.options, (urls) => this.#takeOut(new Set(urls)));
      const left = readLinks(this.#text.value).length;
      if (left) announce(`${left} can’t be converted and ${left === 1 ? 'is' : 'are'} still in the box`);
    } catch {
      // `send` has told the reader why; what was not accepted is still in the box.
    } finally {
      this.#sending = false;
      this.#button.removeAttribute('aria-disabled');
      this.arrive();
    }
  }

  #pressed(event) {
    if (event.key !== 'Enter' || event.isComposing || event.shiftKey) return;
    if (!event.ctrlKey && !event.metaKey && this.#text.value.trim().includes('\n')) return;
    event.preventDefault();
    this.#form.requestSubmit();
  }

  /** A list that was converted, or one that nobody wants, leaves the box; a video that names one stays. */
  #leaveList(link, converted) {
    if (!converted && link.id) return this.#button.focus();
    const left = readLinks(this.#text.value).filter(({ list }) => list !== link.list);
    this.#text.value = left.map(({ text }) => text).join('\n');
    this.#judge();
    this.arrive();
  }

  /** Leaves only the links that have a problem; when there is none, nothing, whatever words stood around the links. */
  #takeOut(urls) {
    const left = readLinks(this.#text.value).filter((link) => !urls.has(link.url));
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
    if (!typing) this.#playlist.show(links);
    const count = videosOf(links).length;
    this.#button.textContent = count > 1 ? `Convert ${count}` : 'Convert';
    document.body.classList.toggle('links-in-box', links.length > 0);
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

  /** Browsers show the clipboard only to https pages, and only when asked. */
  #offerPaste() {
    const button = document.getElementById('paste');
    button.hidden = !navigator.clipboard?.readText;
    button.addEventListener('click', async () => {
      try {
        this.add(await navigator.clipboard.readText());
        if (TOUCH.matches) this.#button.focus();
        else this.focus();
      } catch {
        this.#error.textContent = 'Your browser doesn’t let this page see the clipboard. Paste into the box instead.';
        this.focus();
      }
    });
  }

  #rememberOptions() {
    const { quality, loudness } = this.#form.elements;
    const explain = () => (document.getElementById('quality-hint').textContent = SIZES[quality.value]);
    this.#form.addEventListener('change', explain);
    try {
      const last = JSON.parse(localStorage.getItem(KEPT) ?? '{}');
      if (last.quality in SIZES) quality.value = last.quality;
      loudness.checked = last.loudness !== undefined;
      this.#form.addEventListener('change', () => localStorage.setItem(KEPT, JSON.stringify(this.options)));
    } catch {
      // A browser that keeps nothing: the defaults it is.
    }
    explain();
  }
}
