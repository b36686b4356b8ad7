// The cards in their groups: being made, ready, waiting, failed, and gone. Newest on top in each.

import { Card, hasExpired, isOver, isReady } from './card.js';
import { size } from './format.js';

const $ = (id) => document.getElementById(id);
const INSTANT_MS = 100;
const FEW = 3; // so many that wait are shown like those that are made; more are one row

export class List {
  cards = new Map(); // by conversion_id
  #hidden = new Map(); // cards that will be removed unless that is undone
  #gone = new Set(); // ids whose last event may still be on its way
  #together = new Map(); // progress by id, of all that was asked for since nothing was being made
  #groups = {};
  #act;
  #onGone;
  #planned = false;

  /** `onAct(name, card)` as in Card; `onGone(id)`: a card has left the page. */
  constructor({ onAct, onGone }) {
    this.#act = onAct;
    this.#onGone = onGone;
    for (const element of document.querySelectorAll('[data-group]')) {
      this.#groups[element.dataset.group] = { element, heading: element.querySelector('h3'), cards: element.querySelector('.cards') };
    }
  }

  get conversions() {
    return [...this.cards.values()].map((card) => card.conversion);
  }

  get ready() {
    return this.conversions.filter(isReady);
  }

  /** Shows a conversion's newest state, on its card or on a new one. Answers the card; null where there is to be none. */
  put(conversion) {
    const id = conversion.conversion_id;
    if (this.#gone.has(id)) return null;
    const hidden = this.#hidden.get(id);
    if (hidden) {
      hidden.update(conversion);
      return null;
    }
    let card = this.cards.get(id);
    if (!card) {
      card = new Card(conversion, this.#act);
      this.cards.set(id, card);
    } else {
      // An older answer that arrives after the last event.
      if (isOver(card.conversion) && !isOver(conversion)) return card;
      const left = conversion.queue_position === null ? card.conversion.queue_position : null;
      card.update(conversion);
      if (left !== null) this.#moveUp(left);
    }
    if (!isOver(conversion) || this.#together.has(id)) this.#together.set(id, isOver(conversion) ? 100 : conversion.progress);
    this.#change();
    return card;
  }

  /** A place in the line has become free. The server tells only of what changed in itself, which those behind it didn't. */
  #moveUp(place) {
    for (const card of this.cards.values()) {
      const { queue_position: position } = card.conversion;
      if (position > place) card.update({ ...card.conversion, queue_position: position - 1 });
    }
  }

  /** The card of the same work, if its file is there or will be. */
  same(videoId, { quality, loudness = null }) {
    return [...this.cards.values()].find(({ conversion }) =>
      conversion.video_id === videoId && conversion.quality === quality && (conversion.loudness ?? null) === loudness
      && !conversion.clip && (isReady(conversion) || !isOver(conversion)));
  }

  /** Off the page; `undoable`: `bringBack` may bring it back. */
  drop(id, { undoable = false } = {}) {
    const card = this.cards.get(id);
    if (!undoable) {
      this.#gone.add(id);
      this.#hidden.delete(id);
    }
    if (!card) return;
    const neighbour = card.element.nextElementSibling ?? card.element.previousElementSibling;
    const hadFocus = card.element.contains(document.activeElement);
    this.cards.delete(id);
    this.#together.delete(id);
    if (undoable) this.#hidden.set(id, card);
    card.element.remove();
    this.#onGone(id);
    this.summarise();
    if (!hadFocus) return;
    const next = [...this.cards.values()].find(({ element }) => element === neighbour);
    if (next) next.focus();
    else $('list-title').focus();
  }

  bringBack(ids) {
    for (const id of ids) {
      const card = this.#hidden.get(id);
      this.#hidden.delete(id);
      if (card) this.cards.set(id, card);
    }
    this.summarise();
  }

  clear() {
    for (const id of [...this.cards.keys()]) this.drop(id);
    this.#gone.clear();
    this.#hidden.clear();
    this.#together.clear();
  }

  /** Into view, also if it waits in the folded row. */
  show(card) {
    this.summarise();
    const folded = card.element.closest('details.group');
    const target = folded && !folded.open ? folded : card.element;
    target.scrollIntoView({ block: 'nearest' });
    return target;
  }

  /** The groups are made once for many changes. */
  #change() {
    if (this.#planned) return;
    this.#planned = true;
    queueMicrotask(() => this.#planned && this.summarise());
  }

  summarise() {
    this.#planned = false;
    const groups = { active: [], ready: [], waiting: [], failed: [], gone: [] };
    for (const card of this.cards.values()) groups[groupOf(card.conversion)].push(card);
    const count = Object.fromEntries(Object.entries(groups).map(([name, cards]) => [name, cards.length]));
    if (groups.waiting.length <= FEW) groups.active.push(...groups.waiting.splice(0));
    for (const [name, cards] of Object.entries(groups)) this.#fill(this.#groups[name], cards);
    const bytes = this.ready.reduce((sum, { file_size: one }) => sum + (one ?? 0), 0);
    const words = [[count.active, 'converting'], [count.waiting, 'waiting'], [count.ready, 'ready'], [count.failed, 'failed']];
    $('summary').textContent = words.filter(([many]) => many).map(([many, what]) => `${many} ${what}`).join(' · ');
    this.#name('ready', `${count.ready} ready`);
    this.#name('waiting', `${count.waiting} waiting`);
    this.#name('failed', `${count.failed} failed`);
    this.#name('gone', `${count.gone} cancelled or no longer kept`);
    $('ready-head').classList.toggle('visually-hidden', count.ready < 2);
    for (const button of $('ready-head').querySelectorAll('button')) button.hidden = count.ready < 2;
    const retryable = groups.failed.filter(({ conversion }) => conversion.error?.retryable).length;
    $('retry-failed').hidden = !retryable;
    $('retry-failed').textContent = retryable < count.failed ? `Try ${retryable} again` : 'Try again';
    $('download-all').dataset.all = `Download all (${count.ready}, ${size(bytes)})`;
    $('empty').hidden = this.cards.size > 0;
    document.body.classList.toggle('has-cards', this.cards.size > 0);
    document.body.classList.toggle('many-ready', count.ready > 1);
    this.#progress(count.active + count.waiting);
    document.dispatchEvent(new Event('list-changed'));
  }

  #name(group, words) {
    const { heading } = this.#groups[group];
    if (heading.textContent !== words) heading.textContent = words;
  }

  /** One bar for all that was asked for since nothing was being made. */
  #progress(busy) {
    if (!busy) this.#together.clear();
    const all = [...this.#together.values()];
    const bar = $('whole');
    bar.hidden = $('whole-text').hidden = all.length <= FEW;
    bar.value = all.reduce((sum, one) => sum + one, 0) / (all.length || 1);
    $('whole-text').textContent = `${all.length - busy} of ${all.length} done`;
    document.title = busy ? `${busy} converting · ytmp3d` : 'ytmp3d';
  }

  /** Puts `cards` into the group in their order, and moves only what is not in its place. */
  #fill(group, cards) {
    group.element.hidden = cards.length === 0;
    cards.sort(newestFirst);
    const focused = document.activeElement;
    cards.forEach(({ element }, at) => {
      const there = group.cards.children[at];
      if (there !== element) group.cards.insertBefore(element, there ?? null);
    });
    if (document.activeElement !== focused && focused.isConnected && group.cards.contains(focused)) focused.focus({ preventScroll: true });
  }
}

function groupOf(conversion) {
  const { status } = conversion;
  if (status === 'processing') return 'active';
  if (status === 'queued') return 'waiting';
  if (status === 'failed') return 'failed';
  return status === 'cancelled' || hasExpired(conversion) ? 'gone' : 'ready';
}

/** Newest on top; those of one batch, which are made in an instant, in the batch's order. Those that wait stand in line. */
function newestFirst({ conversion: one, order: a }, { conversion: other, order: b }) {
  const created = ({ created_at: at }) => Math.floor(Date.parse(at) / INSTANT_MS);
  if (one.status === 'queued' && other.status === 'queued' && one.queue_position && other.queue_position) return one.queue_position - other.queue_position;
  return created(other) - created(one) || a - b;
}
