// Puts the page together: the key, the conversions, the stream that keeps them up to date, and what can go wrong.

import { showWays } from './anywhere.js';
import { Api, Refused, Unreachable } from './api.js';
import { Batches } from './batches.js';
import { halves, isOver, isReady, nameOf } from './card.js';
import { Converter } from './converter.js';
import { Events } from './events.js';
import { moment, wait } from './format.js';
import { Groups } from './groups.js';
import { keptKey, takeFromAddress } from './key.js';
import { List } from './list.js';
import { Player } from './player.js';
import { Limits, Lost, Notice, announce } from './notices.js';
import { Undo } from './undo.js';
import { welcome } from './welcome.js';
import { Downloads } from './zip.js';

const $ = (id) => document.getElementById(id);
const PARTS = ['converter', 'conversions', 'account', 'anywhere'];

let held = null; // the stream's news while the list is on its way, which has the order
let api = null;
let events = null;
let cursor = null;
const carried = []; // what came with the address, until there is a key to look into it with

const notice = new Notice();
const limits = new Limits();
const lost = new Lost(() => events?.retryNow());
const converter = new Converter(convert, (url) => api.playlist(url));
const batches = new Batches((urls, options, idempotencyKey) => submit(urls, options, idempotencyKey));
const player = new Player({
  onChange: (id, playing) => {
    const card = list.cards.get(id);
    if (card) card.playing = playing;
  },
  onClose: (id) => (list.cards.get(id)?.focus() ?? $('list-title').focus()),
  neighbour: (id, step) => playable(id, step),
  onCut: (conversion, part) => cut(conversion, part),
});
const list = new List({ onAct: act, onGone: (id) => player.id === id && player.close() });
const undo = new Undo();
const downloads = new Downloads(list, (ids) => api.archive(ids, 'ytmp3d'), attempt);
const groups = new Groups(list, undo, { removeAll: (ids, how) => api.removeAll(ids, how), retry, attempt }, () => downloads.chosen);

// ── The key ──────────────────────────────────────────────────────────────────

function enter(key) {
  leave();
  api = new Api(key, (state) => limits.show(state));
  for (const id of PARTS) $(id).hidden = false;
  $('gate').hidden = true;
  events = new Events(api, {
    onOpen: () => {
      lost.hide();
      notice.hideIf('unreachable');
      held = new Map();
      refresh().finally(release);
    },
    onConversion: (conversion) => (held ? held.set(conversion.conversion_id, conversion) : put(conversion, { news: true })),
    onLost: (retryAt, error) => (error.resetAt ? report(error) : lost.show(retryAt)),
    onRefused: (error) => refuse(error),
  });
  deliver();
}

function deliver() {
  for (const text of carried.splice(0)) converter.add(text);
}

function leave() {
  undo.flush();
  events?.stop();
  [api, events, cursor, held] = [null, null, null, null];
  player.close();
  list.clear();
  lost.hide();
  notice.hide();
  limits.hide();
  welcome.hide();
}

function ask(words = '') {
  leave();
  for (const id of PARTS) $(id).hidden = true;
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
  converter.arrive();
});

$('forget').addEventListener('click', () => {
  keptKey.forget();
  ask();
});

// ── The conversions ──────────────────────────────────────────────────────────

function put(conversion, { news = false } = {}) {
  const before = list.cards.get(conversion.conversion_id)?.conversion;
  if (news && before && !isOver(before)) tell(conversion);
  const card = list.put(conversion);
  player.update(conversion);
  return card;
}

function tell(conversion) {
  if (conversion.status === 'completed') announce(`Ready: ${nameOf(conversion)}`);
  if (conversion.status === 'failed') announce(`Not converted: ${nameOf(conversion)}. ${halves(conversion.error?.message ?? '')[0]}`);
}

/** The whole state, after a reload or a lost connection: what has ended meanwhile comes with no event. */
async function refresh() {
  const known = new Set(list.cards.keys());
  const asked = api;
  try {
    const page = await api.list();
    if (api !== asked) return;
    welcome.show(page);
    const listed = new Set(page.jobs.map((conversion) => conversion.conversion_id));
    const oldest = page.next_cursor ? Date.parse(page.jobs.at(-1).created_at) : -Infinity;
    for (const id of known) {
      if (!listed.has(id) && Date.parse(list.cards.get(id)?.conversion.created_at) > oldest) list.drop(id);
    }
    for (const conversion of page.jobs.toReversed()) put(conversion);
    more(page.next_cursor);
    list.summarise();
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
  list.summarise();
  list.cards.get(page.jobs[0]?.conversion_id)?.focus();
  more(page.next_cursor);
}));

// ── What can be done ─────────────────────────────────────────────────────────

/** Converts `videos` (`{id, url}`), and shows the card that is there where one is. */
async function convert(videos, options, accepted) {
  const there = videos.map(({ id }) => list.same(id, options)).filter(Boolean);
  const fresh = videos.filter(({ id }) => !list.same(id, options)).map(({ url }) => url);
  accepted(videos.map(({ url }) => url).filter((url) => !fresh.includes(url)));
  if (there.length) {
    for (const card of there) card.flash();
    if (!fresh.length) list.show(there[0]);
    announce(there.length === 1 ? `Already here: ${nameOf(there[0].conversion)}` : `${there.length} are here already`);
  }
  if (fresh.length) await batches.convert(fresh, options, accepted);
}

async function submit(urls, options, idempotencyKey) {
  try {
    const cards = (await api.convert(urls, options, idempotencyKey)).map((conversion) => put(conversion));
    notice.hide();
    if (cards[0]) list.show(cards[0]);
    announce(cards.length === 1 ? 'Link added' : `${cards.length} links added`);
  } catch (error) {
    if (error.code !== 'BATCH_TOO_LARGE') report(error);
    throw error;
  }
}

function act(name, card) {
  const { conversion } = card;
  const id = conversion.conversion_id;
  if (name === 'listen') return player.toggle(conversion);
  if (name === 'remove') return groups.remove([id], `Removed: ${nameOf(conversion)}`);
  if (card.busy) return;
  card.busy = true;
  attempt(async () => {
    if (name === 'cancel') put(await api.remove(id));
    if (name === 'again') (conversion.status === 'completed' ? await renew(conversion) : (await retry([id]))[0])?.focus();
  }).finally(() => (card.busy = false));
}

/** Asks again for what failed or was cancelled. The new cards take the place of the old ones. */
async function retry(ids) {
  try {
    const cards = (await api.retry(ids)).map((conversion) => put(conversion)).filter(Boolean);
    for (const id of ids) list.drop(id);
    return cards;
  } catch (error) {
    if (error.code === 'CONVERSION_NOT_FOUND') refresh(); // the server has forgotten one meanwhile
    throw error;
  }
}

/** A new card for one whose file is no longer kept. */
async function renew(conversion) {
  const card = put(await api.remake(conversion));
  await api.removeAll([conversion.conversion_id]);
  list.drop(conversion.conversion_id);
  return card;
}

/** What stands after (1) or before (-1) that card and can be heard. */
function playable(id, step) {
  const precedes = (one, other) => Boolean(one.element.compareDocumentPosition(other.element) & Node.DOCUMENT_POSITION_FOLLOWING);
  const order = [...list.cards.values()].sort((one, other) => (precedes(one, other) ? -step : step));
  const after = order.slice(order.findIndex((card) => card.conversion.conversion_id === id) + 1);
  return after.find(({ conversion }) => isReady(conversion) || conversion.status === 'processing')?.conversion ?? null;
}

/** A new card for a part of what another has; null when it was refused. */
async function cut(conversion, part) {
  try {
    const card = put(await api.remake(conversion, part));
    if (card) list.show(card);
    announce('Part added');
    return card;
  } catch (error) {
    report(error);
    return null;
  }
}

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
  else if (error instanceof Refused) notice.show(error.status === 500 ? 'Something went wrong on the server. Try again in a while.' : halves(error.message)[0]);
  else if (!(error instanceof Unreachable)) throw error;
  else if (events?.connected) notice.show('The server can’t be reached just now. Nothing you typed is lost; try again in a moment.', 'unreachable');
  else events?.retryNow(); // the line about the lost server says it all
}

addEventListener('online', () => events?.retryNow());
document.addEventListener('visibilitychange', () => document.hidden || events?.retryNow());
setInterval(() => {
  for (const card of list.cards.values()) if (isOver(card.conversion)) card.render(); // what is kept only so long expires in front of one's eyes
  list.summarise();
}, 30_000);
addEventListener('hashchange', start);

function start() {
  const { key, texts } = takeFromAddress();
  if (key) {
    keptKey.set(key);
    welcome.expect();
  }
  carried.push(...texts);
  if (key || (!api && keptKey.get())) {
    enter(key ?? keptKey.get());
    converter.arrive();
  } else if (!api) ask();
  else deliver();
}

showWays();
start();
