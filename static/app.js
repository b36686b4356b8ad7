// Puts the page together: the key, the conversions, the stream that keeps them up to date, and what can go wrong.

import { Api, Refused } from './api.js';
import { Card, isOver, isReady, nameOf } from './card.js';
import { Converter } from './converter.js';
import { Events } from './events.js';
import { moment, wait } from './format.js';
import { keptKey, keyFromAddress } from './key.js';
import { Player } from './player.js';
import { Limits, Lost, Notice, announce } from './notices.js';
import { welcome } from './welcome.js';

const $ = (id) => document.getElementById(id);
const BETWEEN_DOWNLOADS_MS = 400; // browsers drop downloads that are started all at once

const INSTANT_MS = 100;

const cards = new Map(); // by conversion_id
const removed = new Set(); // ids whose last event may still be on its way
let held = null; // the stream's news while the list is on its way, which has the order
let api = null;
let events = null;
let cursor = null;

const notice = new Notice();
const limits = new Limits();
const lost = new Lost(() => events?.retryNow());
const converter = new Converter(convert);
const player = new Player({
  onChange: (id, playing) => {
    const card = cards.get(id);
    if (card) card.playing = playing;
  },
  onClose: (id) => (cards.get(id)?.focus() ?? $('list-title').focus()),
  neighbour: (id, step) => playable(id, step),
  onCut: (conversion, part) => cut(conversion, part),
});

// ── The key ──────────────────────────────────────────────────────────────────

function enter(key) {
  leave();
  api = new Api(key, (state) => limits.show(state));
  for (const id of ['converter', 'conversions', 'account']) $(id).hidden = false;
  $('gate').hidden = true;
  events = new Events(api, {
    onOpen: () => {
      lost.hide();
      held = new Map();
      refresh().finally(release);
    },
    onConversion: (conversion) => (held ? held.set(conversion.conversion_id, conversion) : put(conversion, { news: true })),
    onLost: (retryAt, error) => (error.resetAt ? report(error) : lost.show(retryAt)),
    onRefused: (error) => refuse(error),
  });
}

function leave() {
  events?.stop();
  [api, events, cursor, held] = [null, null, null, null];
  player.close();
  for (const id of [...cards.keys()]) drop(id);
  lost.hide();
  notice.hide();
  limits.hide();
  welcome.hide();
}

function ask(words = '') {
  leave();
  for (const id of ['converter', 'conversions', 'account']) $(id).hidden = true;
  $('gate').hidden = false;
  $('gate-error').textContent = words;
  $('key').setAttribute('aria-invalid', String(words !== ''));
  $('key').focus();
}

function refuse({ status }) {
  ask(status === 403
    ? 'This key has been switched off. Ask whoever runs this server to switch it on again.'
    : 'This key isn’t known here. Check that no character is missing, or ask for a new one.');
}

$('gate-form').addEventListener('submit', async (event) => {
  event.preventDefault();
  const key = $('key').value.trim();
  if (!/^[\x21-\x7e]+$/.test(key)) {
    $('gate-error').textContent = key ? 'A key has no blanks and no accents in it.' : 'Type or paste your key first.';
    return $('key').focus();
  }
  try {
    await new Api(key, () => {}).list();
  } catch (error) {
    if (error.status === 401 || error.status === 403) return refuse(error);
    if (error.status !== 429) return ($('gate-error').textContent = 'The server can’t be reached just now. Try again in a moment.');
  }
  keptKey.set(key);
  $('key').value = '';
  enter(key);
  converter.focus();
});

$('forget').addEventListener('click', () => {
  keptKey.forget();
  ask();
});

// ── The conversions ──────────────────────────────────────────────────────────

/** Shows a conversion's newest state, on its card or on a new one. */
function put(conversion, { news = false } = {}) {
  const id = conversion.conversion_id;
  if (removed.has(id)) return null;
  let card = cards.get(id);
  if (!card) {
    card = new Card(conversion, act);
    cards.set(id, card);
    place(card);
  } else {
    // An older answer that arrives after the last event.
    if (isOver(card.conversion) && !isOver(conversion)) return card;
    if (news && !isOver(card.conversion)) tell(conversion);
    const left = conversion.queue_position === null ? card.conversion.queue_position : null;
    card.update(conversion);
    if (left !== null) moveUp(left);
  }
  player.update(conversion);
  summarise();
  return card;
}

/** A place in the line has become free. The server tells only of what changed in itself, which those behind it didn't. */
function moveUp(place) {
  for (const card of cards.values()) {
    const { queue_position: position } = card.conversion;
    if (position > place) card.update({ ...card.conversion, queue_position: position - 1 });
  }
}

/** Newest on top; those of one batch, which are made in an instant, in the batch's order. */
function place(card) {
  const created = (conversion) => Math.floor(Date.parse(conversion.created_at) / INSTANT_MS);
  const older = [...cards.values()].filter((other) => other !== card && created(other.conversion) < created(card.conversion));
  const first = older.reduce((best, other) => (!best || precedes(other.element, best) ? other.element : best), null);
  $('cards').insertBefore(card.element, first);
}

const precedes = (one, other) => Boolean(one.compareDocumentPosition(other) & Node.DOCUMENT_POSITION_FOLLOWING);

function drop(id) {
  const card = cards.get(id);
  if (!card) return;
  const neighbour = card.element.nextElementSibling ?? card.element.previousElementSibling;
  const hadFocus = card.element.contains(document.activeElement);
  if (player.id === id) player.close();
  cards.delete(id);
  card.element.remove();
  summarise();
  if (!hadFocus) return;
  const next = [...cards.values()].find(({ element }) => element === neighbour);
  if (next) next.focus();
  else $('list-title').focus();
}

function tell(conversion) {
  if (conversion.status === 'completed') announce(`Ready: ${nameOf(conversion)}`);
  if (conversion.status === 'failed') announce(`Not converted: ${nameOf(conversion)}. ${conversion.error?.message ?? ''}`);
}

function summarise() {
  const all = [...cards.values()].map((card) => card.conversion);
  const ready = all.filter(isReady).length;
  const counts = [
    [all.filter(({ status }) => status === 'processing').length, 'converting'],
    [all.filter(({ status }) => status === 'queued').length, 'waiting'],
    [ready, 'ready'],
  ];
  $('summary').textContent = counts.filter(([count]) => count).map(([count, what]) => `${count} ${what}`).join(' · ');
  $('download-all').hidden = ready < 2;
  $('download-all').querySelector('span').textContent = `Download all ${ready}`;
  $('empty').hidden = all.length > 0;
  const busy = all.filter((conversion) => !isOver(conversion)).length;
  document.title = busy ? `${busy} converting · ytmp3d` : 'ytmp3d';
}

/** The whole state, after a reload or a lost connection: what has ended meanwhile comes with no event. */
async function refresh() {
  const known = new Set(cards.keys());
  const asked = api;
  try {
    const page = await api.list();
    if (api !== asked) return;
    welcome.show(page);
    const listed = new Set(page.jobs.map((conversion) => conversion.conversion_id));
    const oldest = page.next_cursor ? Date.parse(page.jobs.at(-1).created_at) : -Infinity;
    for (const id of known) {
      if (!listed.has(id) && Date.parse(cards.get(id)?.conversion.created_at) > oldest) drop(id);
    }
    for (const conversion of page.jobs.toReversed()) put(conversion);
    more(page.next_cursor);
    summarise();
  } catch (error) {
    if (api !== asked) return;
    report(error);
    if (error.resetAt) setTimeout(() => api === asked && refresh(), error.resetAt - Date.now());
  }
}

function release() {
  const news = held?.values() ?? [];
  held = null;
  for (const conversion of news) put(conversion, { news: true });
}

function more(next) {
  cursor = next;
  $('more').hidden = !next;
}

$('more').addEventListener('click', () => attempt(async () => {
  const page = await api.list(cursor);
  for (const conversion of page.jobs.toReversed()) put(conversion);
  cards.get(page.jobs[0]?.conversion_id)?.focus();
  more(page.next_cursor);
}));

// ── What can be done ─────────────────────────────────────────────────────────

async function convert(urls, quality, idempotencyKey) {
  try {
    const conversions = await api.convert(urls, quality, idempotencyKey);
    notice.hide();
    for (const conversion of conversions) put(conversion);
    announce(conversions.length === 1 ? 'Link added' : `${conversions.length} links added`);
  } catch (error) {
    if (error.code !== 'BATCH_TOO_LARGE') report(error);
    throw error;
  }
}

function act(name, card) {
  const { conversion } = card;
  const id = conversion.conversion_id;
  if (name === 'listen') return player.toggle(conversion);
  if (card.busy) return;
  card.busy = true;
  attempt(async () => {
    if (name === 'cancel') put(await api.remove(id));
    if (name === 'remove') await remove(id);
    if (name === 'again') {
      put(await api.remake(conversion))?.focus();
      await remove(id);
    }
  }).finally(() => (card.busy = false));
}

/** What stands after (1) or before (-1) that card and can be heard. */
function playable(id, step) {
  const order = [...cards.values()].sort((one, other) => (precedes(one.element, other.element) ? -step : step));
  const after = order.slice(order.findIndex((card) => card.conversion.conversion_id === id) + 1);
  return after.find(({ conversion }) => isReady(conversion) || conversion.status === 'processing')?.conversion ?? null;
}

/** A new card for a part of what another has; null when it was refused. */
async function cut(conversion, part) {
  try {
    const card = put(await api.remake(conversion, part));
    announce('Part added');
    return card;
  } catch (error) {
    report(error);
    return null;
  }
}

async function remove(id) {
  removed.add(id);
  try {
    await api.remove(id);
  } catch (error) {
    if (error.status !== 404) {
      removed.delete(id);
      throw error;
    }
  }
  drop(id);
}

$('download-all').addEventListener('click', async () => {
  const button = $('download-all');
  if (button.getAttribute('aria-disabled') === 'true') return;
  button.setAttribute('aria-disabled', 'true');
  const links = [...$('cards').children].map((element) => element.querySelector('[data-act=download]')).filter((link) => link.href);
  announce(`Downloading ${links.length} files`);
  for (const link of links) {
    link.click();
    await new Promise((resolve) => setTimeout(resolve, BETWEEN_DOWNLOADS_MS));
  }
  button.removeAttribute('aria-disabled');
});

// ── What can go wrong ────────────────────────────────────────────────────────

async function attempt(work) {
  try {
    await work();
  } catch (error) {
    report(error);
  }
}

function report(error) {
  if (error.status === 401 || error.status === 403) refuse(error);
  else if (error.code === 'QUOTA_EXCEEDED') notice.show(error.message);
  else if (error.resetAt) notice.until(error.resetAt, (left) => [`This key has used up its requests for now. You can go on at ${moment(new Date(error.resetAt))}`, `, in ${wait(left)}.`]);
  else if (error instanceof Refused) notice.show(error.status === 500 ? 'Something went wrong on the server. Try again in a while.' : error.message);
  else notice.show('The server can’t be reached just now. Nothing you typed is lost; try again in a moment.');
}

addEventListener('online', () => events?.retryNow());
document.addEventListener('visibilitychange', () => document.hidden || events?.retryNow());
setInterval(() => {
  for (const card of cards.values()) if (isOver(card.conversion)) card.render(); // what is kept only so long expires in front of one's eyes
  summarise();
}, 30_000);
addEventListener('hashchange', start);

function start() {
  const key = keyFromAddress();
  if (key) {
    keptKey.set(key);
    welcome.expect();
  }
  if (key || keptKey.get()) enter(key ?? keptKey.get());
  else if (!api) ask();
}

start();
