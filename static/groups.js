// What is done to many cards at once: remove, cancel, try again. One request each, and each can be undone.

import { isOver } from './card.js';

const $ = (id) => document.getElementById(id);

export class Groups {
  #list;
  #undo;
  #server;
  #chosen;
  #busy = false;
  #stopped = new Set(); // cancelled here; their cards show it a moment later, and a second DELETE would remove them

  /**
   * `server`: `removeAll(ids, {leaving})`; `retry(ids)`, which answers the new cards; and `attempt(work)`, which runs `work` and tells
   * what goes wrong. `chosen()` answers the ready ones to remove.
   */
  constructor(list, undo, server, chosen) {
    this.#list = list;
    this.#undo = undo;
    this.#server = server;
    this.#chosen = chosen;
    $('clear-ready').addEventListener('click', () => this.#removeMany(idsOf(this.#chosen())));
    $('clear-failed').addEventListener('click', () => this.#removeMany(this.#idsIn('failed')));
    $('clear-gone').addEventListener('click', () => this.#removeMany(this.#idsIn('gone')));
    $('cancel-waiting').addEventListener('click', () => this.#cancel(this.#idsIn('waiting').filter((id) => !this.#stopped.has(id)), 'cancelled'));
    $('retry-failed').addEventListener('click', () => this.#retry(idsOf(this.#list.conversions.filter(({ status, error }) => status === 'failed' && error?.retryable))));
  }

  /** Takes the cards away, and the conversions a while after, so that it can be undone. */
  remove(ids, words) {
    if (!ids.length) return;
    this.#undo.flush();
    for (const id of ids) this.#list.drop(id, { undoable: true });
    this.#undo.offer(words, { undo: () => this.#bringBack(ids), done: (how) => this.#send(ids, how) });
  }

  #removeMany(ids) {
    this.remove(ids, `${ids.length} removed`);
  }

  /** Cancels at once; undone, those that were cancelled begin again, at the end of the line. */
  #cancel(ids, words) {
    return this.#once(async () => {
      if (!ids.length) return;
      await this.#server.removeAll(ids);
      for (const id of ids) this.#stopped.add(id);
      this.#undo.offer(`${ids.length} ${words}`, {
        undo: () => this.#retry(ids.filter((id) => this.#list.cards.get(id)?.conversion.status === 'cancelled'), { undoable: false }),
      });
    });
  }

  /** Begins again at once; undone, what has not ended by then is cancelled. */
  #retry(ids, { undoable = true } = {}) {
    return this.#once(async () => {
      if (!ids.length) return;
      const fresh = idsOf((await this.#server.retry(ids)).map(({ conversion }) => conversion));
      if (!undoable) return;
      this.#undo.offer(`${fresh.length === 1 ? 'Trying it' : `Trying ${fresh.length}`} again`, {
        undo: () => this.#server.attempt(() => this.#server.removeAll(fresh.filter((id) => this.#isUnfinished(id)))),
      });
    });
  }

  /** A second click, before the answer to the first, does nothing. */
  async #once(work) {
    if (this.#busy) return;
    this.#busy = true;
    try {
      await this.#server.attempt(work);
    } finally {
      this.#busy = false;
    }
  }

  async #send(ids, how) {
    try {
      await this.#server.removeAll(ids, how);
      for (const id of ids) this.#list.drop(id);
    } catch (error) {
      this.#bringBack(ids);
      this.#server.attempt(() => Promise.reject(error));
    }
  }

  #bringBack(ids) {
    this.#list.bringBack(ids);
    this.#list.cards.get(ids[0])?.focus();
  }

  #isUnfinished(id) {
    const card = this.#list.cards.get(id);
    return card && !isOver(card.conversion);
  }

  #idsIn(group) {
    return idsOf([...this.#list.cards.values()].filter(({ element }) => element.closest('.group')?.dataset.group === group).map(({ conversion }) => conversion));
  }
}

const idsOf = (conversions) => conversions.map(({ conversion_id: id }) => id);
