// The one player. It starts on the stream of a conversion that is still being made, and can be moved about in freely once that is whole.

import { here } from './api.js';
import { isOver, isReady, nameOf } from './card.js';
import { clock } from './format.js';

const REST_MS = 2_000; // between tries to play a stream that broke off
const MOST_FAILURES = 5; // in a row

export class Player {
  #root = document.getElementById('player');
  #audio = document.getElementById('audio');
  #toggleButton = document.getElementById('player-toggle');
  #title = document.getElementById('player-title');
  #seek = document.getElementById('player-seek');
  #now = document.getElementById('player-now');
  #length = document.getElementById('player-length');
  #note = document.getElementById('player-note');
  #conversion = null;
  #waiting = false; // for sound to be made
  #failedAt = -Infinity;
  #failures = 0;
  #live = false; // what is loaded is the stream of an unfinished file, which has no ranges
  #dragging = false;
  #onChange;

  /** `onChange(id, playing)`: which conversion's sound is on or off now; `onClose(id)`: the player went away by hand. */
  constructor({ onChange, onClose }) {
    this.#onChange = onChange;
    this.#toggleButton.addEventListener('click', () => this.#toggle());
    document.getElementById('player-close').addEventListener('click', () => {
      const { conversion_id: id } = this.#conversion;
      this.close();
      onClose(id);
    });
    this.#seek.addEventListener('input', () => {
      this.#dragging = true;
      this.#showTime(Number(this.#seek.value));
    });
    this.#seek.addEventListener('change', () => {
      this.#dragging = false;
      this.#moveTo(Number(this.#seek.value));
    });
    for (const event of ['play', 'pause', 'ended', 'emptied']) this.#audio.addEventListener(event, () => this.#show());
    for (const event of ['timeupdate', 'durationchange']) this.#audio.addEventListener(event, () => this.#dragging || this.#showTime(this.#audio.currentTime));
    this.#audio.addEventListener('waiting', () => this.#say(isOver(this.#conversion) ? '' : 'Waiting for more to be made…'));
    this.#audio.addEventListener('playing', () => this.#say(isOver(this.#conversion) ? '' : 'Playing while it is being made.'));
    this.#audio.addEventListener('error', () => this.#failed());
  }

  get id() {
    return this.#conversion?.conversion_id ?? null;
  }

  /** Listen to it, or pause when it is what plays. */
  toggle(conversion) {
    if (conversion.conversion_id === this.id) return this.#toggle();
    this.close();
    this.#failures = 0;
    this.#conversion = conversion;
    this.#root.hidden = false;
    this.#title.textContent = nameOf(conversion);
    this.#start();
  }

  /** News of a conversion; only that of the one in the player matters. */
  update(conversion) {
    if (conversion.conversion_id !== this.id) return;
    const before = this.#conversion;
    this.#conversion = conversion;
    this.#title.textContent = nameOf(conversion);
    this.#showTime(this.#audio.currentTime);
    if (isOver(conversion) && !isReady(conversion)) return this.close();
    if (isOver(conversion) && !isOver(before)) this.#say('');
    const rested = performance.now() - this.#failedAt > REST_MS;
    if (this.#waiting && (isReady(conversion) || (conversion.status === 'processing' && rested))) this.#start();
    else if (before.status === 'processing' && conversion.status === 'queued') this.#wait('It is being made anew; the sound starts again by itself.');
  }

  close() {
    const id = this.id;
    if (id === null) return;
    this.#conversion = null;
    this.#waiting = false;
    this.#audio.removeAttribute('src');
    this.#audio.load();
    this.#root.hidden = true;
    this.#onChange(id, false);
  }

  #start(from = 0) {
    if (this.#conversion.status === 'queued') return this.#wait('Starts as soon as there is sound.');
    this.#waiting = false;
    this.#live = !isOver(this.#conversion);
    this.#audio.src = here(this.#conversion.download_url) + (this.#live ? '?tag=no' : '');
    if (from) this.#audio.currentTime = from;
    this.#say(this.#live ? 'Starts as soon as there is sound.' : '');
    this.#showTime(from);
    this.#audio.play().catch(() => this.#show()); // not allowed to start by itself: the button still can
  }

  #wait(words) {
    this.#waiting = true;
    this.#audio.removeAttribute('src');
    this.#audio.load();
    this.#say(words);
    this.#showTime(0);
    this.#show();
  }

  #toggle() {
    if (this.#waiting) return this.close();
    if (!this.#audio.paused) return this.#audio.pause();
    if (this.#audio.ended && this.#live) return this.#start();
    this.#audio.play().catch(() => this.#show());
  }

  #moveTo(seconds) {
    if (this.#waiting) return;
    const { buffered } = this.#audio;
    const end = buffered.length ? buffered.end(buffered.length - 1) : 0;
    if (!this.#live || seconds <= end) this.#audio.currentTime = seconds;
    else if (isOver(this.#conversion)) this.#start(seconds);
    else this.#audio.currentTime = Math.max(0, end - 1);
    this.#showTime(this.#audio.currentTime);
  }

  #failed() {
    if (!this.#audio.hasAttribute('src') || this.#conversion === null) return;
    this.#failedAt = performance.now();
    if (this.#audio.currentTime > 0) this.#failures = 0;
    if (++this.#failures < MOST_FAILURES) {
      if (!isOver(this.#conversion)) return this.#wait('The sound broke off; it starts again by itself.');
      if (this.#live) return this.#start(this.#audio.currentTime);
    }
    this.#say('This can’t be played here. Perhaps it can be downloaded.');
    this.#show();
  }

  #show() {
    if (this.#conversion === null) return;
    const on = this.#waiting || !this.#audio.paused;
    this.#toggleButton.querySelector('use').setAttribute('href', on ? '#icon-pause' : '#icon-play');
    this.#toggleButton.setAttribute('aria-label', on ? 'Pause' : 'Play');
    this.#onChange(this.id, on);
  }

  #showTime(seconds) {
    const { duration } = this.#conversion ?? {};
    const known = duration ?? (Number.isFinite(this.#audio.duration) ? this.#audio.duration : 0);
    this.#seek.max = Math.max(1, Math.floor(known));
    this.#seek.disabled = this.#waiting || !known;
    if (!this.#dragging) this.#seek.value = Math.floor(seconds);
    this.#seek.setAttribute('aria-valuetext', `${clock(seconds)} of ${clock(known)}`);
    this.#now.textContent = clock(seconds);
    this.#length.textContent = known ? clock(known) : '';
    this.#seek.style.setProperty('--played', String(this.#seek.value / this.#seek.max));
  }

  #say(words) {
    if (this.#note.textContent !== words) this.#note.textContent = words;
  }
}
