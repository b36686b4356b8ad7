// One conversion on the page. Whatever comes from the source goes in as text.

import { here } from './api.js';
import { downloaded } from './downloaded.js';
import { Pace, clock, estimatedSize, moment, size, wait } from './format.js';

const NAMES = { listen: 'Listen to', pause: 'Pause', download: 'Download', again: 'Try again:', cancel: 'Cancel', remove: 'Remove' };

const NEAR_MS = 2 * 3_600_000; // only then is the end of a file worth a line
let made = 0;

export const isOver = (conversion) => !['queued', 'processing'].includes(conversion.status);
export const isReady = (conversion) => conversion.status === 'completed' && Boolean(conversion.download_url) && !hasExpired(conversion);
export const nameOf = (conversion) => conversion.title ?? `youtu.be/${conversion.video_id}`;

/** A message without the half that is for the server's owner, and that half. */
export function halves(message) {
  const [guest, ...owner] = message.split(' For the owner: ');
  return [guest, owner.join(' ')];
}

export function hasExpired({ status, expires_at: at, download_url: url }) {
  return status === 'completed' && (!url || (at !== null && Date.parse(at) <= Date.now()));
}

export class Card {
  element;
  conversion;
  order = made++; // cards of one batch stand in its order
  #parts;
  #acts = {};
  #pace = new Pace();
  #secondsLeft = null;
  #imageMissing = null; // the status in which there was none
  #playing = false;

  /** `onAct(name, card)` is called for listen, again, cancel and remove; download is a link of its own. */
  constructor(conversion, onAct) {
    this.element = document.getElementById('card-template').content.firstElementChild.cloneNode(true);
    const part = (selector) => this.element.querySelector(selector);
    this.#parts = {
      image: part('.thumb img'), length: part('.length'), title: part('.title'), source: part('.title a'), pick: part('.pick'), picked: part('.pick span'), more: part('.more'), owner: part('.owner'), artist: part('.artist'),
      state: part('.state'), bar: part('progress'), details: part('.details'),
    };
    for (const control of this.element.querySelectorAll('[data-act]')) {
      const act = control.dataset.act;
      this.#acts[act] = control;
      control.addEventListener('click', () => (act === 'download' ? this.markDownloaded() : onAct(act, this)));
    }
    this.#parts.image.addEventListener('error', () => {
      this.#imageMissing = this.conversion.status;
      this.render();
    });
    this.update(conversion);
  }

  update(conversion) {
    this.conversion = conversion;
    if (conversion.status === 'processing') this.#secondsLeft = this.#pace.note(conversion.progress);
    else this.#pace.forget();
    this.render();
  }

  set playing(value) {
    this.#playing = value;
    this.render();
  }

  /** Not answering to clicks while a request about this card is under way. */
  set busy(value) {
    for (const act of ['again', 'cancel', 'remove']) this.#acts[act].setAttribute('aria-disabled', String(value));
  }

  get busy() {
    return this.#acts.remove.getAttribute('aria-disabled') === 'true';
  }

  get picked() {
    return this.#parts.pick.querySelector('input').checked;
  }

  /** Draws the eye to it. */
  flash() {
    this.element.classList.remove('flash');
    void this.element.offsetWidth; // begins the animation anew
    this.element.classList.add('flash');
  }

  markDownloaded() {
    downloaded.add(this.conversion.conversion_id);
    this.render();
  }

  render() {
    const { conversion } = this;
    const parts = this.#parts;
    const name = nameOf(conversion);
    const expired = hasExpired(conversion);
    this.element.dataset.status = expired ? 'expired' : conversion.status;
    this.element.classList.toggle('playing', this.#playing);
    setText(parts.source, name);
    parts.source.href = conversion.url;
    setText(parts.picked, `Select ${name}`);
    parts.title.classList.toggle('unknown', conversion.title === null);
    parts.title.title = name;
    setText(parts.artist, conversion.artist ?? '');
    setText(parts.length, conversion.duration === null ? '' : clock(conversion.duration));
    setText(parts.state, this.#state(expired));
    const [, owner] = halves(conversion.error?.message ?? '');
    const facts = conversion.status === 'failed' || expired || conversion.status === 'cancelled' ? '' : details(conversion);
    setText(parts.details, facts);
    setText(parts.owner, owner && `For the server’s owner: ${owner}`);
    parts.more.hidden = !facts && !owner;
    parts.pick.hidden = !isReady(conversion);
    this.#bar();
    this.#image(expired);
    this.#offer(expired, name);
  }

  #state(expired) {
    const { status, progress, title, queue_position: position, notice, error, expires_at: expires } = this.conversion;
    if (expired) return 'No longer kept here';
    if (status === 'queued' && notice) return notice;
    if (status === 'queued') return position > 1 ? `Waiting, number ${position} in line` : 'Next in line';
    if (status === 'failed') return halves(error?.message ?? 'This did not work.')[0];
    if (status === 'cancelled') return 'Cancelled';
    if (status === 'completed') return this.#ready(expires);
    if (progress === 0) return title === null ? 'Asking YouTube…' : 'Starting…';
    return `Converting, ${progress} %${this.#secondsLeft === null ? '' : ` · about ${wait(this.#secondsLeft)} left`}`;
  }

  #ready(expires) {
    const { conversion_id: id, file_size: bytes } = this.conversion;
    const words = [bytes === null ? 'Ready' : `Ready, ${size(bytes)}`];
    if (downloaded.has(id)) words.push('✓ downloaded');
    if (expires && Date.parse(expires) - Date.now() < NEAR_MS) words.push(`kept until ${moment(new Date(expires))}`);
    return words.join(' · ');
  }

  #bar() {
    const { bar } = this.#parts;
    bar.hidden = isOver(this.conversion);
    bar.value = this.conversion.progress;
    bar.setAttribute('aria-label', `Progress of ${nameOf(this.conversion)}`);
  }

  /** Without an image the note below it is seen. One that was not there is tried once more in the next status. */
  #image(expired) {
    const { image } = this.#parts;
    const url = expired || this.#imageMissing === this.conversion.status ? null : here(this.conversion.thumbnail_url);
    if (!url) image.removeAttribute('src');
    else if (image.src !== url) image.src = url;
  }

  #offer(expired, name) {
    const { status, error, download_url: url } = this.conversion;
    const ready = status === 'completed' && !expired;
    const unfinished = !isOver(this.conversion);
    const hadFocus = this.element.contains(document.activeElement) ? document.activeElement : null;
    const shown = {
      listen: ready || unfinished,
      download: ready,
      again: expired || status === 'cancelled' || (status === 'failed' && error?.retryable === true),
      cancel: unfinished,
      remove: !unfinished,
    };
    for (const [act, control] of Object.entries(this.#acts)) {
      control.hidden = !shown[act];
      control.setAttribute('aria-label', `${NAMES[act === 'listen' && this.#playing ? 'pause' : act]} ${name}`);
    }
    if (ready) this.#acts.download.href = here(url);
    else this.#acts.download.removeAttribute('href');
    setText(this.#acts.listen.querySelector('span'), this.#playing ? 'Pause' : 'Listen');
    setText(this.#acts.again.querySelector('span'), status === 'failed' ? 'Try again' : 'Convert again');
    if (status !== 'failed') this.#acts.again.setAttribute('aria-label', `Convert again: ${name}`);
    this.#acts.listen.querySelector('use').setAttribute('href', this.#playing ? '#icon-pause' : '#icon-play');
    if (hadFocus?.hidden) this.focus();
  }

  /** Focus on the first thing one can do here. */
  focus() {
    [...this.element.querySelectorAll('[data-act]')].find((control) => !control.hidden)?.focus();
  }
}

function details({ status, duration, bitrate_kbps: kbps, source, loudness, clip }) {
  const words = [`${kbps} kbps`];
  if (clip) words.unshift(clip.end === null ? `From ${clock(clip.start)}` : `${clock(clip.start)} to ${clock(clip.end)}`);
  if (source) words.push(`made from ${codecName(source.codec)}${source.bitrate_kbps ? ` ${Math.round(source.bitrate_kbps)}` : ''}`);
  if (loudness !== null && loudness !== undefined) words.push(`loudness ${loudness} LUFS`);
  if (duration !== null && (status === 'queued' || status === 'processing')) words.push(`≈ ${estimatedSize(kbps, duration)}`);
  return words.join(' · ');
}

function codecName(codec) {
  if (/^mp4a/i.test(codec)) return 'AAC';
  return /^opus$/i.test(codec) ? 'Opus' : codec;
}

/** Leaves the node alone when nothing changes, so that a selection or a screen reader isn't disturbed. */
function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
