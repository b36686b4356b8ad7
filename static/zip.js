// The downloads of many: one file of its own, or one ZIP, which the browser saves and shows the progress of.

import { here } from './api.js';
import { isReady } from './card.js';
import { size } from './format.js';
import { announce } from './notices.js';

const $ = (id) => document.getElementById(id);

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
