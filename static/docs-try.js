// A form under each operation that sends it to this server with the reader's own key, and the same as a line for curl.

import { code, el } from './docs-parts.js';
import { keptKey } from './key.js';

const BASE = new URL('.', document.baseURI).href.replace(/\/$/, '');
const HEADERS = ['Prefer', 'Idempotency-Key']; // the other headers are a client library's affair
const MOST_SHOWN = 20_000; // characters of an answer
const STREAM_MS = 5_000; // how long events are watched
const SHOWN_HEADERS = ['content-type', 'x-request-id', 'x-ratelimit-remaining', 'retry-after', 'location'];

let lastConversion = '';

/** The one field for the key, at the top of the page. It is the page's own: whoever is known there is known here. */
export function keyField() {
  const input = el('input', { id: 'try-key', type: 'password', autocomplete: 'off', spellcheck: 'false' });
  input.value = keptKey.get() ?? '';
  input.addEventListener('change', () => (input.value.trim() ? keptKey.set(input.value.trim()) : keptKey.forget()));
  return el('p', { class: 'try-key' }, el('label', { for: 'try-key' }, 'Your key, to try requests here'), input,
    el('small', {}, 'It is kept in this browser only, and sent to this server only.'));
}

/** `parameters` and `schema` are resolved; `example` is the body of the first example, if the operation has a body. */
export function tryIt(method, path, one, parameters, example) {
  const fields = parameters.filter(({ in: place, name }) => place !== 'header' || HEADERS.includes(name)).map((parameter) => {
    const id = `${one.operationId}-${parameter.name}`;
    const input = el('input', { id, name: parameter.name, autocomplete: 'off', spellcheck: 'false', required: parameter.in === 'path' });
    if (parameter.in === 'path' && parameter.example && parameter.name !== 'conversion_id') input.value = parameter.example;
    return { ...parameter, input, row: el('p', {}, el('label', { for: id }, el('code', {}, parameter.name)), input) };
  });
  const body = example === undefined ? null : el('textarea', { id: `${one.operationId}-body`, rows: '4', spellcheck: 'false' });
  if (body) body.value = JSON.stringify(example, null, 2);
  const line = el('pre', { tabindex: '0', role: 'region', 'aria-label': `${one.summary}, as a line for curl` });
  const outcome = el('div', { class: 'outcome', role: 'status' });
  const form = el('form', { novalidate: true },
    fields.map(({ row }) => row),
    body ? el('p', {}, el('label', { for: body.id }, 'Body'), body) : null,
    line,
    el('button', { class: 'send' }, 'Send'),
    outcome);
  const request = () => made(method, path, fields, body, Boolean(one.security?.length));
  const showLine = () => (line.textContent = curl(request()));
  form.addEventListener('input', showLine);
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    send(request(), one, outcome).finally(showLine);
  });
  const details = el('details', { class: 'try' }, el('summary', {}, 'Try it'), form);
  details.addEventListener('toggle', () => {
    const field = fields.find(({ name }) => name === 'conversion_id');
    if (field && !field.input.value) field.input.value = lastConversion;
    showLine();
  });
  return details;
}

function made(method, path, fields, body, needsKey) {
  const value = (place) => fields.filter(({ in: where, input }) => where === place && input.value.trim());
  let address = path;
  for (const { name, input } of fields.filter(({ in: where }) => where === 'path')) address = address.replace(`{${name}}`, encodeURIComponent(input.value.trim()));
  const query = new URLSearchParams(value('query').map(({ name, input }) => [name, input.value.trim()])).toString();
  const headers = Object.fromEntries(value('header').map(({ name, input }) => [name, input.value.trim()]));
  if (body) headers['Content-Type'] = 'application/json';
  return { method: method.toUpperCase(), address: `${address}${query ? `?${query}` : ''}`, headers, body: body?.value, needsKey };
}

function curl({ method, address, headers, body, needsKey }) {
  const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  const all = needsKey ? { Authorization: 'Bearer YOUR_API_KEY', ...headers } : headers;
  const words = ['curl', ...(method === 'GET' ? [] : ['-X', method]), quoted(BASE + address)];
  for (const [name, value] of Object.entries(all)) words.push('-H', quoted(`${name}: ${value}`));
  if (body) words.push('-d', quoted(compact(body)));
  return words.join(' ');
}

function compact(text) {
  try {
    return JSON.stringify(JSON.parse(text));
  } catch {
    return text;
  }
}

async function send({ method, address, headers, body, needsKey }, one, outcome) {
  const key = keptKey.get();
  if (needsKey && !key) {
    outcome.replaceChildren('Enter your key at the top of the page first.');
    document.getElementById('try-key').focus();
    return;
  }
  if (/\/\/|\/$/.test(address) && address !== '/') return outcome.replaceChildren('Fill in what stands in braces in the address.');
  outcome.replaceChildren('Sending…');
  const stopping = new AbortController();
  try {
    const all = needsKey ? { ...headers, Authorization: `Bearer ${key}` } : headers;
    const answer = await fetch(BASE + address, { method, headers: all, body, cache: 'no-store', signal: stopping.signal });
    const kind = answer.headers.get('Content-Type') ?? '';
    const shown = SHOWN_HEADERS.filter((name) => answer.headers.has(name)).map((name) => `${name}: ${answer.headers.get(name)}`);
    outcome.replaceChildren(el('p', {}, el('b', {}, `${answer.status} ${answer.statusText}`)), el('p', { class: 'headers' }, shown.join('\n')));
    outcome.append(await content(answer, kind, address, one, stopping));
  } catch (error) {
    outcome.replaceChildren(`No answer: ${error.message}`);
  } finally {
    stopping.abort();
  }
}

/** What came, for people: a file is not fetched whole, and a stream not watched for ever. */
async function content(answer, kind, address, one, stopping) {
  if (/^(audio|image)\/|\/zip/.test(kind)) return el('p', {}, 'The file itself: ', el('a', { href: BASE + address }, 'open or save it'), '.');
  if (kind.startsWith('text/event-stream')) return code(await watched(answer, stopping), `${one.summary}: five seconds of events`);
  const text = await answer.text();
  if (!text) return el('p', {}, 'Without a body.');
  if (/json/.test(kind)) lastConversion = JSON.parse(text).conversion_id ?? lastConversion;
  const pretty = /json/.test(kind) ? JSON.stringify(JSON.parse(text), null, 2) : text;
  return code(pretty.length > MOST_SHOWN ? `${pretty.slice(0, MOST_SHOWN)}\n…` : pretty, `${one.summary}: the answer`);
}

async function watched(answer, stopping) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  const timer = setTimeout(() => stopping.abort(), STREAM_MS);
  let text = '';
  try {
    for (let part = await reader.read(); !part.done && text.length < MOST_SHOWN; part = await reader.read()) text += part.value;
  } catch {
    // Its time was over.
  } finally {
    clearTimeout(timer);
  }
  return text;
}
