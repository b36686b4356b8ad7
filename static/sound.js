// The sound of one conversion, at any second of it. What is still being made has no ranges, so a jump asks the server for the sound from that second on.

import { here } from './api.js';
import { isOver } from './card.js';

const MEASURING_PERCENT = 55; // of the progress of a conversion with a loudness: the sound is made after it

/** How many seconds of it are made, at least. */
export function made({ status, progress, duration, loudness }) {
  if (status === 'completed') return duration ?? Infinity;
  if (status !== 'processing' || !duration) return 0;
  const before = loudness === null ? 0 : MEASURING_PERCENT;
  return (duration * Math.max(0, progress - before)) / (100 - before);
}

export class Sound {
  #audio;
  #begin = 0; // the second at which what is loaded begins
  #conversion = null;
  #live = false;

  constructor(audio) {
    this.#audio = audio;
    audio.preservesPitch = true;
  }

  /** In seconds of the conversion. */
  get position() {
    return this.#begin + this.#audio.currentTime;
  }

  get loaded() {
    return this.#conversion !== null;
  }

  /** Whether what is loaded is a stream without ranges, though the file may be finished by now. */
  get live() {
    return this.#live;
  }

  /** Loads the sound from that second on; plays nothing. */
  load(conversion, seconds = 0) {
    this.#conversion = conversion;
    this.#live = !isOver(conversion);
    this.#begin = this.#live ? seconds : 0;
    this.#audio.src = here(conversion.download_url) + (this.#live ? `?tag=no&from=${seconds.toFixed(3)}` : '');
    if (!this.#live && seconds) this.#audio.currentTime = seconds;
  }

  /** Goes to that second, which is made, and goes on playing if it did. */
  async move(conversion, seconds) {
    if (!this.#live) {
      this.#audio.currentTime = seconds;
      return;
    }
    const playing = !this.#audio.paused;
    this.load(conversion, seconds);
    if (playing) await this.#audio.play();
  }

  unload(seconds = 0) {
    this.#conversion = null;
    this.#live = false;
    this.#begin = seconds;
    this.#audio.removeAttribute('src');
    this.#audio.load();
  }

  set speed(factor) {
    this.#audio.defaultPlaybackRate = factor; // holds for what is loaded next
    this.#audio.playbackRate = factor;
  }
}
