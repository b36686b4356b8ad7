// The one player. It starts while a conversion is still being made, and jumps to any second that is.

import { here } from './api.js';
import { isOver, isReady, nameOf } from './card.js';
import { Cut } from './cut.js';
import { clock } from './format.js';
import { MediaKeys } from './media-keys.js';
import { Sound, made } from './sound.js';

const REST_MS = 2_000; // between tries to play a stream that broke off
const MOST_FAILURES = 5; // in a row
const KEYS_MS = 200; // after the last of several arrow keys, until the sound jumps
const NOTE_MS = 4_000; // for reading what was not done as asked
const ARROW_S = 5;
const TAKES_SPACE = 'a, button, input:not([type=range]), select, summary, textarea, [contenteditable]';

const $ = (id) => document.getElementById(id);

export class Player {
  #root = $('player');
  #audio = $('audio');
  #seek = $('player-seek');
  #cover = $('player-cover');
  #sound = new Sound(this.#audio);
  #conversion = null;
  #waiting = false; // for sound to be made
  #failedAt = -Infinity;
  #failures = 0;
  #moving = null; // the second where the sound will be in a moment
  #dragging = false;
  #heldUntil = 0; // what the note says stays so long
  #moveTimer = 0;
  #stopAt = Infinity;
  #keys;
  #cut;
  #calls;

  /**
   * `onChange(id, playing)`: which conversion's sound is on or off now; `onClose(id)`: the player went away by hand;
   * `neighbour(id, step)`: the conversion to play after (1) or before (-1) that one, or null;
   * `onCut(conversion, part)`: convert only a part of it.
   */
  constructor(calls) {
    this.#calls = calls;
    this.#keys = new MediaKeys({
      play: () => this.#audio.paused && this.#toggle(),
      pause: () => this.#audio.pause(),
      stop: () => this.close(),
      next: () => this.#go(1),
      previous: () => (this.#sound.position > ARROW_S ? this.#moveTo(0) : this.#go(-1)),
      by: (seconds) => this.#moveTo(this.#sound.position + seconds),
      to: (second) => this.#moveTo(second),
    });
    this.#cut = new Cut({
      position: () => this.#sound.position,
      hear: (start, end) => this.#hear(start, end),
      convert: (part) => calls.onCut(this.#conversion, part),
    });
    $('player-toggle').addEventListener('click', () => this.#toggle());
    $('player-close').addEventListener('click', () => {
      const { id } = this;
      this.close();
      calls.onClose(id);
    });
    $('player-speed').addEventListener('change', (event) => {
      this.#sound.speed = Number(event.target.value);
      this.#show();
    });
    this.#cover.addEventListener('error', () => (this.#cover.hidden = true));
    this.#listen();
    this.#slide();
    document.addEventListener('keydown', (event) => {
      if (event.key !== ' ' || event.repeat || this.id === null || event.target.closest?.(TAKES_SPACE)) return;
      event.preventDefault();
      this.#toggle();
    });
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
    this.#describe();
    this.#start();
  }

  /** News of a conversion; only that of the one in the player matters. */
  update(conversion) {
    if (conversion.conversion_id !== this.id) return;
    const before = this.#conversion;
    this.#conversion = conversion;
    this.#describe();
    this.#showTime();
    if (isOver(conversion) && !isReady(conversion)) return this.close();
    if (isOver(conversion) && !isOver(before)) this.#say('');
    const rested = performance.now() - this.#failedAt > REST_MS;
    if (this.#waiting && (isReady(conversion) || (conversion.status === 'processing' && rested))) this.#start(this.#sound.position);
    else if (before.status === 'processing' && conversion.status === 'queued') this.#wait('It is being made anew; the sound starts again by itself.');
  }

  close() {
    const { id } = this;
    if (id === null) return;
    clearTimeout(this.#moveTimer);
    this.#conversion = null;
    [this.#waiting, this.#moving, this.#dragging, this.#stopAt, this.#heldUntil] = [false, null, false, Infinity, 0];
    this.#sound.unload();
    this.#root.hidden = true;
    this.#root.classList.remove('sounding');
    this.#cut.close();
    this.#keys.hide();
    this.#calls.onChange(id, false);
  }

  #listen() {
    const on = (names, act) => names.split(' ').forEach((name) => this.#audio.addEventListener(name, act));
    on('play pause emptied', () => this.#show());
    on('timeupdate durationchange', () => this.#showTime());
    on('waiting', () => this.#say(isOver(this.#conversion ?? { status: '' }) ? '' : 'Waiting for more to be made…'));
    on('playing', () => {
      this.#say(isOver(this.#conversion) ? '' : 'Playing while it is being made.');
      this.#show();
    });
    on('ended', () => this.#ended());
    on('error', () => this.#failed());
  }

  #slide() {
    this.#seek.addEventListener('input', () => {
      [this.#dragging, this.#moving] = [true, Number(this.#seek.value)];
      this.#showTime();
    });
    this.#seek.addEventListener('change', () => {
      this.#dragging = false;
      this.#moveTo(Number(this.#seek.value));
    });
    this.#seek.addEventListener('keydown', (event) => {
      const step = { ArrowLeft: -ARROW_S, ArrowDown: -ARROW_S, ArrowRight: ARROW_S, ArrowUp: ARROW_S }[event.key];
      if (!step || event.ctrlKey || event.altKey || event.metaKey) return;
      event.preventDefault();
      this.#moveTo((this.#moving ?? this.#sound.position) + step, KEYS_MS);
    });
  }

  #start(from = 0) {
    if (this.#conversion.status === 'queued') return this.#wait('Starts as soon as there is sound.', from);
    this.#waiting = false;
    this.#sound.load(this.#conversion, from);
    this.#say(this.#sound.live ? 'Starts as soon as there is sound.' : '');
    this.#showTime();
    this.#play();
  }

  #play() {
    this.#audio.play().catch(() => this.#show()); // not allowed to start by itself: the button still can
  }

  #wait(words, at = 0) {
    this.#waiting = true;
    this.#sound.unload(at);
    this.#say(words);
    this.#showTime();
    this.#show();
  }

  #toggle() {
    if (this.#waiting) return this.close();
    this.#stopAt = Infinity;
    if (!this.#audio.paused) return this.#audio.pause();
    if (this.#audio.error || (this.#audio.ended && this.#sound.live)) return this.#start(this.#audio.ended ? 0 : this.#sound.position);
    this.#play();
  }

  /** At once, or when nothing else is asked for within `delay` ms. */
  #moveTo(seconds, delay = 0) {
    if (this.#waiting || this.id === null) return;
    const until = made(this.#conversion);
    const length = this.#length();
    const second = Math.max(0, Math.min(seconds, length || seconds, until));
    this.#stopAt = Infinity;
    clearTimeout(this.#moveTimer);
    this.#moving = second;
    this.#showTime();
    this.#moveTimer = setTimeout(() => {
      this.#moving = null;
      this.#sound.move(this.#conversion, second).catch(() => this.#show());
      this.#showTime();
    }, delay);
    if (seconds > until) this.#say(`Only ${clock(until)} is made so far: it plays from there.`, NOTE_MS);
  }

  /** Plays that part, and stops at its end. */
  #hear(start, end) {
    if (this.#waiting) return;
    const until = made(this.#conversion);
    if (start >= until) return this.#say(`Only ${clock(until)} is made so far.`, NOTE_MS);
    this.#sound.move(this.#conversion, start).catch(() => this.#show());
    this.#stopAt = end;
    this.#play();
    const watch = () => {
      if (this.#stopAt !== end || this.id === null) return;
      if (this.#sound.position >= end) this.#audio.pause();
      else if (!document.hidden) return requestAnimationFrame(watch);
      else return setTimeout(watch, 50);
      this.#stopAt = Infinity;
    };
    requestAnimationFrame(watch);
  }

  /** The next one plays on, unless only a part was to be heard. */
  #ended() {
    const part = this.#stopAt < Infinity || this.#cut.open;
    this.#stopAt = Infinity;
    if (part || !this.#go(1)) this.#show();
  }

  #go(step) {
    const next = this.id === null ? null : this.#calls.neighbour(this.id, step);
    if (next) this.toggle(next);
    return next;
  }

  #failed() {
    const { error } = this.#audio;
    if (!error || !this.#sound.loaded || this.#conversion === null) return;
    if (/MediaSink/.test(error.message)) return this.#say('No loudspeaker or headphones here: it plays without being heard.');
    const at = this.#sound.position;
    const { paused } = this.#audio;
    this.#failedAt = performance.now();
    if (this.#audio.currentTime > 0) this.#failures = 0;
    if (++this.#failures < MOST_FAILURES) {
      if (paused && this.#sound.live && this.#conversion.status !== 'queued') return this.#sound.load(this.#conversion, at);
      if (!isOver(this.#conversion)) return this.#wait('The sound broke off; it starts again by itself.', at);
      if (this.#sound.live) return this.#start(at);
    }
    this.#say('This can’t be played here. Perhaps it can be downloaded.');
    this.#show();
  }

  // ---- what is to be seen

  #describe() {
    const { thumbnail_url: cover } = this.#conversion;
    const name = nameOf(this.#conversion);
    if ($('player-title').textContent !== name) $('player-title').textContent = name;
    if (cover && this.#cover.src !== here(cover)) this.#cover.src = here(cover);
    this.#cover.hidden = !cover || (this.#cover.complete && !this.#cover.naturalWidth);
    this.#keys.show(this.#conversion);
    this.#cut.offer(this.#conversion);
  }

  #show() {
    if (this.#conversion === null) return;
    const on = this.#waiting || !this.#audio.paused;
    const button = $('player-toggle');
    button.querySelector('use').setAttribute('href', on ? '#icon-pause' : '#icon-play');
    button.setAttribute('aria-label', on ? 'Pause' : 'Play');
    this.#root.classList.toggle('sounding', on && !this.#waiting);
    this.#keys.tell({ playing: on, position: this.#sound.position, duration: this.#length(), speed: this.#audio.playbackRate });
    this.#calls.onChange(this.id, on);
  }

  #length() {
    const { duration } = this.#conversion ?? {};
    return duration ?? (!this.#sound.live && Number.isFinite(this.#audio.duration) ? this.#audio.duration : 0);
  }

  #showTime() {
    const length = this.#length();
    const seconds = Math.min(this.#moving ?? this.#sound.position, length || Infinity);
    const max = Math.max(1, Math.floor(length));
    this.#seek.max = max;
    this.#seek.disabled = this.#waiting || !length;
    if (!this.#dragging) this.#seek.value = Math.floor(seconds); // else no change of it would be told
    this.#seek.setAttribute('aria-valuetext', `${clock(seconds)} of ${clock(length)}`);
    $('player-now').textContent = clock(seconds);
    $('player-length').textContent = length ? clock(length) : '';
    const share = (of) => String(Math.min(1, of / max));
    this.#seek.style.setProperty('--played', share(this.#seek.value));
    this.#seek.style.setProperty('--made', share(this.#conversion ? Math.max(made(this.#conversion), this.#sound.position) : 0));
  }

  #say(words, hold = 0) {
    if (performance.now() < this.#heldUntil && !hold) return;
    this.#heldUntil = performance.now() + hold;
    if ($('player-note').textContent !== words) $('player-note').textContent = words;
  }
}
