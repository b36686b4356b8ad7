// What is done to many cards at once: download, select, clear, cancel. Removing can be undone for a while.

import { here } from './api.js';
import { isReady } from './card.js';
import { size } from './format.js';
import { announce } from './notices.js';

const $ = (id) => document.getElementById(id);
const TO_UNDO_MS = 8_000;

/** Removes conversions a while after their cards have gone, so that it can be undone; at once when the page is left. */
export class Removal {
  #list;
  #send;
  #failed;
  #ids = [];
  #timer = null;

  /** `send(ids, {leaving})` is one request; `failed(error)` tells what went wrong with it. */
  constructor(list, send, failed) {
    this.#list = list;
    this.#send = send;
    this.#failed = failed;
    $('undo-button').addEventListener('click', () => this.undo());
    for (const [event, act] of [['focusin', 'hold'], ['focusout', 'go'], ['pointerenter', 'hold'], ['pointerleave', 'go']]) {
      $('undo').addEventListener(event, () => (act === 'hold' ? clearTimeout(this.#timer) : this.#wait()));
    }
    addEventListener('pagehide', () => this.flush({ leaving: true }));
  }

  /** `words` say what has happened. What was to be removed before is removed now. */
  plan(ids, words) {
    if (!ids.length) return;
    this.flush();
    this.#ids = ids;
    for (const id of ids) this.#list.drop(id, { undoable: true });
    $('undo-text').textContent = words;
    $('undo').hidden = false;
    this.#wait();
  }

  undo() {
    const ids = this.#take();
    this.#list.bringBack(ids);
    this.#list.cards.get(ids[0])?.focus();
  }

  async flush({ leaving = false } = {}) {
    const ids = this.#take();
    if (!ids.length) return;
    try {
      await this.#send(ids, { leaving });
      for (const id of ids) this.#list.drop(id);
    } catch (error) {
      this.#list.bringBack(ids);
      this.#failed(error);
    }
  }

  #take() {
    clearTimeout(this.#timer);
    const ids = this.#ids;
    this.#ids = [];
    if ($('undo').contains(document.activeElement)) $('list-title').focus();
    $('undo').hidden = true;
    return ids;
  }

  #wait() {
    clearTimeout(this.#timer);
    if (this.#ids.length) this.#timer = setTimeout(() => this.flush(), TO_UNDO_MS);
  }
}

/** The downloads of many: one file of its own, or one ZIP, which the browser saves and shows the progress of. */
export class Downloads {
  #list;
  #archive;
  #attempt;
  #busy = false;

  /** `archive(ids)` answers the address of a ZIP; `attempt(work)` runs it and tells what goes wrong. */
  constructor(list, archive, attempt) {
    this.#list = list;
    this.#archive = archive;
    this.#attempt = attempt;
    $('download-all').addEventListener('click', () => this.#download());
    $('select').addEventListener('click', () => this.#toggle());
    $('group-ready').addEventListener('change', () => this.show());
    document.addEventListener('list-changed', () => this.show());
  }

  /** The ids that are ticked; all that are ready where nothing can be ticked. */
  get chosen() {
    const cards = [...this.#list.cards.values()].filter(({ conversion }) => isReady(conversion));
    return (this.#selecting ? cards.filter((card) => card.picked) : cards).map(({ conversion }) => conversion);
  }

  get #selecting() {
    return $('select').getAttribute('aria-pressed') === 'true';
  }

  #toggle(on = !this.#selecting) {
    $('select').setAttribute('aria-pressed', String(on));
    $('select').textContent = on ? 'Done selecting' : 'Select';
    document.body.classList.toggle('selecting', on);
    this.show();
  }

  show() {
    if (this.#selecting && this.#list.ready.length < 2) return this.#toggle(false);
    const some = this.chosen;
    const words = this.#selecting ? `Download ${some.length} (${size(bytesOf(some))})` : $('download-all').dataset.all;
    $('download-all').querySelector('span').textContent = this.#selecting && !some.length ? 'Tick what you want' : words;
    $('clear-ready').textContent = this.#selecting ? `Remove ${some.length}` : 'Clear all';
    for (const id of ['download-all', 'clear-ready']) $(id).setAttribute('aria-disabled', String(this.#busy || !some.length));
  }

  async #download() {
    const some = this.chosen;
    if (this.#busy || !some.length) return;
    this.#busy = true;
    this.show();
    await this.#attempt(async () => {
      const single = some.length === 1;
      const url = single ? some[0].download_url : await this.#archive(some.map(({ conversion_id: id }) => id));
      const link = Object.assign(document.createElement('a'), { href: here(url), download: '' });
      link.click();
      for (const { conversion_id: id } of some) this.#list.cards.get(id)?.markDownloaded();
      $('download-note').textContent = single ? '' : `One ZIP of ${some.length} files, ${size(bytesOf(some))}. Your browser shows how far it is; you may close this page once it has it.`;
      announce(single ? 'The download has begun' : `One ZIP of ${some.length} files is being downloaded`);
    });
    this.#busy = false;
    this.show();
  }
}

const bytesOf = (conversions) => conversions.reduce((sum, { file_size: bytes }) => sum + (bytes ?? 0), 0);
