// The one event stream that keeps all cards up to date. It is read with fetch, since EventSource can't send a key.

import { Unreachable } from './api.js';

const SILENCE_MS = 45_000; // the server's heartbeat comes about every 15 s
const STEADY_MS = 5_000;
const LONGEST_PAUSE_MS = 30_000;

/**
 * Holds the stream open, reconnecting for ever. Calls, all synchronous:
 * `onOpen()` connected, so ask for the whole state · `onConversion(object)` ·
 * `onLost(retryAt, error)` not connected, next try at that epoch ms · `onRefused(error)` the key is no longer good; the stream has stopped.
 */
export class Events {
  #api;
  #calls;
  #stopped = false;
  #attempt = null;
  #failures = 0;
  #lastId = null;
  #hurry = () => {};
  connected = false;

  constructor(api, calls) {
    this.#api = api;
    this.#calls = calls;
    this.#run();
  }

  stop() {
    this.#stopped = true;
    this.#attempt?.abort();
    this.#hurry();
  }

  /** Don't wait for the next try. */
  retryNow() {
    this.#hurry();
  }

  async #run() {
    while (!this.#stopped) {
      let trouble = new Unreachable('The stream ended.');
      try {
        await this.#once();
      } catch (error) {
        trouble = error;
      }
      if (this.#stopped) return;
      if (trouble.status === 401 || trouble.status === 403) return this.#calls.onRefused(trouble);
      // A stream that had worked and then ended is most likely a restart: the first try comes soon, and unannounced.
      const pause = trouble.resetAt ? trouble.resetAt - Date.now() : Math.min(LONGEST_PAUSE_MS, 500 * 2 ** this.#failures * (1 + Math.random() / 4));
      if (this.#failures++ > 0 || trouble.resetAt) this.#calls.onLost(Date.now() + pause, trouble);
      await this.#sleep(pause);
    }
  }

  async #once() {
    this.#attempt = new AbortController();
    let watchdog;
    let openedAt = Infinity;
    const heard = () => {
      clearTimeout(watchdog);
      watchdog = setTimeout(() => this.#attempt.abort(), SILENCE_MS);
    };
    try {
      heard();
      const response = await this.#api.events(this.#lastId, this.#attempt.signal);
      openedAt = performance.now();
      this.connected = true;
      this.#calls.onOpen();
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      const parse = eventParser((event) => this.#deliver(event));
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        heard();
        parse(value);
      }
    } finally {
      this.connected = false;
      clearTimeout(watchdog);
      this.#attempt.abort();
      // One that is cut at once, again and again, must not eat the key's requests.
      if (performance.now() - openedAt > STEADY_MS) this.#failures = 0;
    }
  }

  #deliver({ type, id, data }) {
    if (id !== null) this.#lastId = id;
    if (type === 'conversion') this.#calls.onConversion(JSON.parse(data));
  }

  #sleep(ms) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#hurry = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

/** A function to feed text to, which calls `deliver({type, id, data})` for each whole event (HTML standard, 9.2.6). */
function eventParser(deliver) {
  let rest = '';
  let event = { type: 'message', id: null, data: [] };
  return (text) => {
    const lines = (rest + text).split(/\r?\n/);
    rest = lines.pop();
    for (const line of lines) {
      if (line === '') {
        if (event.data.length) deliver({ ...event, data: event.data.join('\n') });
        event = { type: 'message', id: null, data: [] };
        continue;
      }
      const [, field, value] = /^([^:]*):? ?(.*)$/s.exec(line);
      if (field === 'data') event.data.push(value);
      else if (field === 'event') event.type = value;
      else if (field === 'id') event.id = value;
    }
  };
}
