// What the system shows and offers of the player: the lock screen, headphone keys, a keyboard's media keys.

import { here } from './api.js';
import { nameOf } from './card.js';

const STEP_S = 10; // unless the system says otherwise

export class MediaKeys {
  #session = navigator.mediaSession ?? null;

  /** `acts`: play, pause, stop, next, previous; `by(seconds)` and `to(second)` move. */
  constructor(acts) {
    this.#on('play', acts.play);
    this.#on('pause', acts.pause);
    this.#on('stop', acts.stop);
    this.#on('nexttrack', acts.next);
    this.#on('previoustrack', acts.previous);
    this.#on('seekbackward', ({ seekOffset }) => acts.by(-(seekOffset || STEP_S)));
    this.#on('seekforward', ({ seekOffset }) => acts.by(seekOffset || STEP_S));
    this.#on('seekto', ({ seekTime }) => acts.to(seekTime));
  }

  show(conversion) {
    if (!this.#session) return;
    const { artist, album, thumbnail_url: cover } = conversion;
    const artwork = cover ? [{ src: here(cover), type: 'image/jpeg' }] : [];
    this.#session.metadata = new MediaMetadata({ title: nameOf(conversion), artist: artist ?? '', album: album ?? '', artwork });
  }

  hide() {
    if (!this.#session) return;
    this.#session.metadata = null;
    this.#session.playbackState = 'none';
    this.#session.setPositionState?.();
  }

  tell({ playing, position, duration, speed }) {
    if (!this.#session) return;
    this.#session.playbackState = playing ? 'playing' : 'paused';
    if (duration) this.#session.setPositionState?.({ duration, position: Math.min(position, duration), playbackRate: speed });
  }

  #on(action, handler) {
    try {
      this.#session?.setActionHandler(action, handler);
    } catch {
      // An action that this browser does not know.
    }
  }
}
