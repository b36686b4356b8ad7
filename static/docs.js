// The API reference, made from openapi.json.

import { code, el, inline, prose, slug, table } from './docs-parts.js';
import { keyField, tryIt } from './docs-try.js';

const EXAMPLE_BASE = 'http://127.0.0.1:8080';
const BASE = new URL('.', document.baseURI).href.replace(/\/$/, '');
const LANGUAGE_KEY = 'ytmp3d-docs-language';

const content = document.getElementById('content');
let spec;

function resolved(part) {
  if (!part?.$ref) return part;
  return part.$ref.slice(2).split('/').reduce((found, step) => found[step.replaceAll('~1', '/')], spec);
}

// ---- schemas

function typeOf(schema) {
  const name = schema.$ref?.split('/').pop();
  if (name === 'Conversion') return el('a', { href: '#conversion' }, 'Conversion');
  const found = resolved(schema);
  if (found.anyOf) return joined(found.anyOf.map(typeOf));
  if (found.enum) return joined(found.enum.map((value) => el('code', {}, JSON.stringify(value))));
  if (found.type === 'array') return el('span', {}, 'array of ', typeOf(found.items));
  return [found.type].flat().join(' or ');
}

function joined(parts) {
  return el('span', {}, parts.flatMap((part, index) => (index ? [' or ', part] : [part])));
}

function fields(schema, caption, about) {
  const rows = Object.entries(schema.properties).flatMap(([name, property]) => {
    const found = resolved(property);
    const description = property.description ?? found.description ?? '';
    const isRequired = schema.required?.includes(name);
    const row = [el('code', {}, name), typeOf(property), el('span', {}, inline(description))];
    const nested = resolved(found.anyOf?.find((one) => one.$ref) ?? (found.properties && property));
    const inside = nested?.properties ? Object.entries(nested.properties).map(([inner, value]) => [
      el('code', {}, `${name}.${inner}`), typeOf(value), el('span', {}, inline(resolved(value).description ?? ''))]) : [];
    if (about) row[2].prepend(el('b', {}, isRequired ? 'Required. ' : 'Optional. '));
    return [row, ...inside];
  });
  return table(caption, about, ['Field', 'Type', 'Meaning'], rows);
}

// ---- examples

function withBase(text) {
  return text.replaceAll(EXAMPLE_BASE, BASE);
}

function samples(operation) {
  const all = operation['x-codeSamples'] ?? [];
  if (!all.length) return null;
  const choices = el('div', { class: 'languages', role: 'group', 'aria-label': `Language of the example: ${operation.summary}` },
    all.map((one) => {
      const button = el('button', { type: 'button', 'data-language': one.lang }, one.label);
      button.addEventListener('click', () => choose(one.lang));
      return button;
    }));
  const blocks = all.map((one) => {
    const block = code(withBase(one.source), `${operation.summary}, in ${one.label}`);
    block.dataset.language = one.lang;
    return block;
  });
  return el('div', { class: 'samples' }, choices, blocks);
}

/** Show every example in one language, here and the next time. */
function choose(language) {
  try {
    localStorage.setItem(LANGUAGE_KEY, language);
  } catch { /* a browser that keeps nothing shows curl again */ }
  showLanguage(language);
}

function showLanguage(language) {
  for (const one of document.querySelectorAll('.samples [data-language]')) {
    const isChosen = one.dataset.language === language;
    if (one.tagName === 'BUTTON') one.setAttribute('aria-pressed', String(isChosen));
    else one.hidden = !isChosen;
  }
}

function rememberedLanguage() {
  try {
    return localStorage.getItem(LANGUAGE_KEY) ?? 'shell';
  } catch {
    return 'shell';
  }
}

// ---- operations

function operation(method, path, one) {
  const parameters = (one.parameters ?? []).map(resolved);
  const body = resolved(one.requestBody)?.content['application/json'];
  return el('section', { class: 'operation', 'aria-labelledby': one.operationId },
    el('h3', { id: one.operationId }, one.summary),
    el('p', { class: 'address' }, el('span', { class: `method ${method}` }, method.toUpperCase()), ' ', el('code', {}, path),
      el('span', { class: 'needs' }, one.security?.length ? 'needs a key' : 'no key')),
    prose(one.description),
    samples(one),
    tryIt(method, path, one, parameters, body && firstExample(body)),
    body ? fields(resolved(body.schema), 'Body (JSON)', one.summary) : null,
    parameters.length ? table('Parameters', one.summary, ['Name', 'In', 'Meaning'], parameters.map(parameter)) : null,
    answers(one));
}

function firstExample(media) {
  return resolved(Object.values(media.examples ?? {})[0])?.value ?? media.example ?? {};
}

function parameter(one) {
  const schema = resolved(one.schema);
  const bounds = schema.minimum === undefined ? '' : ` ${schema.minimum} to ${schema.maximum}, default ${schema.default}.`;
  const choice = schema.enum ? ` One of ${schema.enum.map((value) => `\`${value}\``).join(', ')}.` : '';
  const example = one.example === undefined || schema.enum ? '' : ` Example: \`${one.example}\`.`;
  return [el('code', {}, one.name), one.in, el('span', {}, inline(one.description + bounds + choice + example))];
}

function answers(one) {
  const good = [];
  const bad = [];
  for (const [status, part] of Object.entries(one.responses)) {
    const response = resolved(part);
    const [kind, media] = Object.entries(response.content ?? {})[0] ?? [null, null];
    if (media?.schema?.$ref?.endsWith('/Error')) {
      for (const name of Object.keys(media.examples)) bad.push([status, name, errorMeaning(name)]);
    } else if (Number(status) >= 400 && !media) {
      bad.push([status, '', response.description]);
    } else {
      good.push(answer(one, status, response, kind, media));
    }
  }
  const errors = table('Refusals', one.summary, ['Status', 'Code', 'Meaning'],
    bad.map(([status, name, meaning]) => [status, name ? el('code', {}, name) : '—', el('span', {}, inline(meaning))]));
  return [
    el('h4', {}, 'Answers'), good,
    el('details', {}, el('summary', {}, `Errors (${bad.length})`), errors),
  ];
}

function errorMeaning(name) {
  const codes = spec['x-error-codes'];
  return codes.request[name]?.meaning ?? 'The conversion has failed; this is its own error, one of the job error codes.';
}

function answer(one, status, response, kind, media) {
  const headers = Object.entries(response.headers ?? {}).map(([name, part]) =>
    [el('code', {}, name), el('span', {}, inline(resolved(part).description))]);
  const found = media?.examples
    ? Object.values(media.examples).map(resolved)
    : media?.example === undefined ? [] : [{ value: media.example }];
  const title = el('summary', {}, el('b', {}, status), ` ${response.description}`, kind ? el('span', { class: 'kind' }, kind) : null);
  return el('details', {}, title,
    found.map((example) => {
      const text = typeof example.value === 'string' ? example.value : JSON.stringify(example.value, null, 2);
      const label = example.summary ?? response.description;
      return [example.summary ? el('p', { class: 'label' }, inline(example.summary)) : null,
        code(withBase(text), `${one.summary}, ${status}: ${label}`)];
    }),
    headers.length ? table('Headers', `${one.summary}, ${status}`, ['Header', 'Meaning'], headers) : null);
}

// ---- the rest of the page

function errorTables() {
  const { request, job } = spec['x-error-codes'];
  return el('section', { 'aria-labelledby': 'error-codes' },
    el('h2', { id: 'error-codes' }, 'Error codes'),
    el('p', {}, 'What a request can be refused with, as ', el('code', {}, 'error.code'), ' of the answer:'),
    table('Request errors', null, ['Code', 'Status', 'Meaning'], Object.entries(request).map(([name, one]) =>
      [el('code', {}, name), String(one.status), el('span', {}, inline(one.meaning))])),
    el('p', {}, 'What a conversion can fail with, as its ', el('code', {}, 'error.code'), ', and as the answer of its download link:'),
    table('Job errors', null, ['Code', 'Retry later', 'Meaning', 'Message'], Object.entries(job).map(([name, one]) =>
      [el('code', {}, name), one.retryable ? 'may help' : 'no', el('span', {}, inline(one.meaning)), one.message])));
}

/** Offline mode adds these to the description. */
function reserved() {
  const found = spec['x-reserved'];
  if (!found) return null;
  return el('section', { class: 'reserved', 'aria-labelledby': 'reserved' },
    el('h2', { id: 'reserved' }, 'Offline mode'),
    el('p', {}, 'This server makes its videos up: any video id gives a short melody, the same every time. These ids and keys do something else, so that a client can be tested against it.'),
    search(),
    table('Reserved videos', null, ['Video id', 'Ends as', 'What happens'], found.videos.map((one) =>
      [el('code', {}, one.id), el('code', {}, one.outcome), el('span', {}, inline(one.summary))])),
    table('Reserved playlists', null, ['List id', 'Answered', 'What is in it'], (found.playlists ?? []).map((one) =>
      [el('code', {}, one.id), one.outcome === 'listed' ? 'listed' : el('code', {}, one.outcome), el('span', {}, inline(one.summary))])),
    table('Reserved keys', null, ['API key', 'What happens'], found.keys.map((one) =>
      [el('code', {}, one.key), el('span', {}, inline(one.behaviour))])));
}

/** Leaves only the rows of the section that have all the words. */
function search() {
  const input = el('input', { type: 'search', id: 'find-reserved', autocomplete: 'off', spellcheck: 'false' });
  input.addEventListener('input', () => {
    const words = input.value.toLowerCase().split(/\s+/);
    for (const row of input.closest('section').querySelectorAll('tbody tr')) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    }
  });
  return el('p', { class: 'find' }, el('label', { for: 'find-reserved' }, 'Find an id, a code or a word'), input);
}

function group(tag) {
  const operations = Object.entries(spec.paths).flatMap(([path, item]) =>
    Object.entries(item).filter(([, one]) => one.tags?.includes(tag.name)).map(([method, one]) => operation(method, path, one)));
  return el('section', { 'aria-labelledby': `group-${slug(tag.name)}` },
    el('h2', { id: `group-${slug(tag.name)}` }, tag.name), el('p', {}, inline(tag.description)), operations);
}

function contents() {
  const items = [];
  for (const heading of content.querySelectorAll('h2, h3')) {
    const link = el('li', {}, el('a', { href: `#${heading.id}` }, heading.textContent));
    if (heading.tagName === 'H2') items.push(link);
    else {
      const above = items.at(-1);
      (above.querySelector('ul') ?? above.appendChild(el('ul'))).append(link);
    }
  }
  const folded = el('details', {}, el('summary', {}, 'Contents'), el('ul', {}, items));
  folded.open = matchMedia('(min-width: 56.01rem)').matches; // on a phone the text comes first
  document.getElementById('contents').append(folded);
}

/** Mark in the contents what is being read. */
function followReading() {
  const links = new Map([...document.querySelectorAll('#contents a')].map((link) => [link.hash.slice(1), link]));
  const headings = [...content.querySelectorAll('h2, h3')];
  let scheduled = false;
  const mark = () => {
    scheduled = false;
    const above = headings.filter((heading) => heading.getBoundingClientRect().top < innerHeight / 3).at(-1);
    for (const [id, link] of links) {
      if (id === above?.id) link.setAttribute('aria-current', 'true');
      else link.removeAttribute('aria-current');
    }
  };
  addEventListener('scroll', () => {
    if (!scheduled) requestAnimationFrame(mark);
    scheduled = true;
  }, { passive: true });
  mark();
}

async function show() {
  const response = await fetch('openapi.json');
  if (!response.ok) throw new Error(`openapi.json was answered ${response.status}.`);
  spec = await response.json();
  content.append(
    el('p', { class: 'base' }, 'Base URL ', el('code', {}, BASE), ` · version ${spec.info.version}`),
    keyField(),
    ...prose(spec.info.description), ...[reserved()].filter(Boolean), ...spec.tags.map(group),
    el('section', { 'aria-labelledby': 'conversion' },
      el('h2', { id: 'conversion' }, 'The conversion object'),
      el('p', {}, inline(spec.components.schemas.Conversion.description)),
      fields(spec.components.schemas.Conversion, 'Fields', null)),
    errorTables());
  contents();
  showLanguage(rememberedLanguage());
  followReading();
  if (location.hash) document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
}

try {
  await show();
} catch (error) {
  content.append(el('p', { class: 'notice', role: 'alert' }, `The reference can’t be shown: ${error.message} Try to reload the page.`));
} finally {
  content.removeAttribute('aria-busy');
}
