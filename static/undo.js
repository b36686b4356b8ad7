// What was just done, in words, with a button that takes it back for a while.

const $ = (id) => document.getElementById(id);
const TO_UNDO_MS = 8_000;

export class Undo {
  #undo = null;
  #done = null;
  #timer = null;

  constructor() {
    $('undo-button').addEventListener('click', () => {
      const undo = this.#undo;
      this.#close();
      undo?.();
    });
    for (const [event, act] of [['focusin', 'hold'], ['focusout', 'go'], ['pointerenter', 'hold'], ['pointerleave', 'go']]) {
      $('undo').addEventListener(event, () => (act === 'hold' ? clearTimeout(this.#timer) : this.#wait()));
    }
    addEventListener('pagehide', () => this.flush({ leaving: true }));
  }

  /** Either `undo()` is called, or `done({leaving})` after a while: at once when the page is left or something else is offered. */
  offer(words, { undo, done = () => {} }) {
    this.flush();
    [this.#undo, this.#done] = [undo, done];
    $('undo-text').textContent = words;
    $('undo').hidden = false;
    this.#wait();
  }

  flush({ leaving = false } = {}) {
    const done = this.#done;
    this.#close();
    return done?.({ leaving });
  }

  #close() {
    clearTimeout(this.#timer);
    this.#undo = this.#done = null;
    if ($('undo').contains(document.activeElement)) $('list-title').focus();
    $('undo').hidden = true;
  }

  #wait() {
    clearTimeout(this.#timer);
    if (this.#done) this.#timer = setTimeout(() => this.flush(), TO_UNDO_MS);
  }
}
