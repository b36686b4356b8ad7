// What is in a playlist, with a tick for each video: shown when a link in the box names one.

import { clock, span } from './format.js';

const $ = (id) => document.getElementById(id);

export class PlaylistChooser {
  #look;
  #convert;
  #link = null; // the link on show, or being looked into
  #done = new Set(); // lists that were converted or put away, until their link leaves the box
  #videos = [];
  #busy = false;

  /** `look(url)` answers a playlist or throws; `convert(videos, accepted)` converts `{id, url}`; both tell nothing. */
  constructor({ look, convert, onDone }) {
    this.#look = look;
    this.#convert = convert;
    $('playlist-all').addEventListener('change', () => {
      for (const box of this.#boxes) box.checked = $('playlist-all').checked;
      this.#count();
    });
    $('playlist-videos').addEventListener('change', () => this.#count());
    $('playlist-convert').addEventListener('click', () => this.convert());
    $('playlist-close').addEventListener('click', () => {
      const link = this.#link;
      this.#close();
      onDone(link, { converted: false });
    });
    this.onDone = onDone;
  }

  /** The links in the box: the first that names a list is looked into, unless it was before. */
  async show(links) {
    const named = links.filter(({ list }) => list);
    for (const list of this.#done) if (!named.some((link) => link.list === list)) this.#done.delete(list);
    const link = named.find(({ list }) => !this.#done.has(list)) ?? null;
    if (link?.list === this.#link?.list) return;
    if (!link) return this.#close({ done: false });
    this.#link = link;
    $('playlist').hidden = false;
    $('playlist-body').hidden = true;
    $('playlist-note').textContent = 'Looking into the playlist…';
    try {
      const playlist = await this.#look(link.list);
      if (this.#link === link) this.#draw(link, playlist);
    } catch (error) {
      if (this.#link !== link) return;
      this.#done.add(link.list);
      $('playlist-note').textContent = link.id ? '' : `This playlist can’t be shown. ${error.message}`;
    }
  }

  get open() {
    return !$('playlist').hidden && !$('playlist-body').hidden;
  }

  async convert() {
    const some = this.#chosen;
    if (this.#busy || !some.length) return;
    this.#busy = true;
    const link = this.#link;
    try {
      await this.#convert(some.map(({ video_id: id, url }) => ({ id, url })), (urls) => this.#untick(new Set(urls)));
      this.#close();
      this.onDone(link, { converted: true });
    } catch {
      // The reader was told why; what was not accepted is still ticked.
    } finally {
      this.#busy = false;
    }
  }

  get #boxes() {
    return [...$('playlist-videos').querySelectorAll('input:not(:disabled)')];
  }

  get #chosen() {
    return this.#boxes.filter((box) => box.checked).map((box) => this.#videos[Number(box.value)]);
  }

  #untick(urls) {
    for (const box of this.#boxes) if (urls.has(this.#videos[Number(box.value)].url)) box.checked = false;
    this.#count();
  }

  #draw(link, { title, count, truncated, videos }) {
    this.#videos = videos;
    const there = videos.filter(({ available }) => available !== false);
    const seconds = there.reduce((sum, { duration }) => sum + (duration ?? 0), 0);
    $('playlist-note').textContent = '';
    $('playlist-title').textContent = title || 'Playlist';
    $('playlist-about').textContent = `${truncated ? `The first ${count}` : count} ${count === 1 ? 'video' : 'videos'}${seconds ? ` · ${span(seconds)}` : ''}`;
    $('playlist-ask').textContent = link.id ? `The link is of one video in this list. This one, or all ${there.length}?` : '';
    $('playlist-close').textContent = link.id ? 'Only this one' : 'Close';
    $('playlist-videos').replaceChildren(...videos.map((video, at) => row(video, at)));
    $('playlist-body').hidden = false;
    $('playlist-all').checked = true;
    this.#count();
  }

  #count() {
    const many = this.#chosen.length;
    $('playlist-convert').textContent = `Convert ${many}`;
    $('playlist-convert').setAttribute('aria-disabled', String(many === 0));
    $('playlist-all').checked = many > 0 && many === this.#boxes.length;
    $('playlist-all').indeterminate = many > 0 && many < this.#boxes.length;
  }

  #close({ done = true } = {}) {
    if (done && this.#link) this.#done.add(this.#link.list);
    this.#link = null;
    this.#videos = [];
    $('playlist-videos').replaceChildren();
    $('playlist').hidden = true;
  }
}

function row({ title, channel, duration, available }, at) {
  const item = document.createElement('li');
  const label = document.createElement('label');
  const usable = available !== false;
  const box = Object.assign(document.createElement('input'), { type: 'checkbox', value: String(at), checked: usable, disabled: !usable });
  const name = Object.assign(document.createElement('span'), { textContent: title ?? 'A video without a title', dir: 'auto', title: channel ?? '' });
  const time = Object.assign(document.createElement('span'), { className: 'time', textContent: usable ? (duration ? clock(duration) : '') : 'not available' });
  label.append(box, name, time);
  item.append(label);
  return item;
}
