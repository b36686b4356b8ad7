// The server's API, as one object per key. Every answer's rate-limit headers go to `onLimits`.

const PATIENCE_MS = 35_000; // a look into a playlist takes up to 30 s
const IDS_AT_ONCE = 250;
const RETRIED_AT_ONCE = 100;

/** The server answered, and refused. `code` and `message` are its own; `resetAt` (epoch ms) is set on 429. */
export class Refused extends Error {
  constructor(status, { code, message }, headers) {
    super(message);
    this.status = status;
    this.code = code;
    this.resetAt = status === 429 ? resetOf(headers) : null;
  }
}

/** No answer, or none of this server's (a proxy's error page). */
export class Unreachable extends Error {}

function resetOf(headers) {
  const after = Number(headers.get('Retry-After'));
  const reset = Number(headers.get('X-RateLimit-Reset')) * 1000;
  return after ? Date.now() + after * 1000 : reset || Date.now() + 60_000;
}

export class Api {
  #key;
  #onLimits;

  constructor(key, onLimits) {
    this.#key = key;
    this.#onLimits = onLimits;
  }

  /** One link or several (a batch: one request), with the options of `POST /convert`. Answers the conversions in the order of `urls`. */
  async convert(urls, options, idempotencyKey) {
    const headers = { 'Idempotency-Key': idempotencyKey };
    if (urls.length === 1) return [await this.#json('POST', 'convert', { headers, body: { url: urls[0], ...options } })];
    return (await this.#json('POST', 'batch-convert', { headers, body: { urls, ...options } })).jobs;
  }

  /** What is in a playlist: `{title, count, truncated, videos}`. */
  playlist(url) {
    return this.#json('POST', 'playlist', { body: { url } });
  }

  /** The address of one ZIP of these conversions. */
  async archive(ids, name) {
    return (await this.#json('POST', 'archives', { body: { conversion_ids: ids, name } })).archive_url;
  }

  /** The same video as of that conversion, in the same quality and loudness; `end` null is the video's end. */
  remake({ url, quality, loudness, clip }, { start, end } = clip ?? {}) {
    const body = { url, quality };
    if (start) body.start = start;
    if (end) body.end = end;
    if (loudness !== null) body.loudness = loudness;
    return this.#json('POST', 'convert', { headers: { 'Idempotency-Key': randomId() }, body });
  }

  /** New conversions in the place of those that failed or were cancelled, in as few requests as the server takes. */
  async retry(ids) {
    const fresh = [];
    for (let at = 0; at < ids.length; at += RETRIED_AT_ONCE) {
      const body = { conversion_ids: ids.slice(at, at + RETRIED_AT_ONCE) };
      fresh.push(...(await this.#json('POST', 'retry', { headers: { 'Idempotency-Key': randomId() }, body })).jobs);
    }
    return fresh;
  }

  /** A page of this key's conversions, newest first: `{key, jobs, next_cursor}`. */
  list(cursor = null) {
    return this.#json('GET', `status?limit=100${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ''}`);
  }

  /** Cancels an unfinished conversion, removes a finished one. */
  remove(id) {
    return this.#json('DELETE', `status/${encodeURIComponent(id)}`);
  }

  /** The same for many, in as few requests as addresses may be long. `leaving`: also if the page ends meanwhile. */
  async removeAll(ids, { leaving = false } = {}) {
    for (let at = 0; at < ids.length; at += IDS_AT_ONCE) {
      const some = ids.slice(at, at + IDS_AT_ONCE).map(encodeURIComponent).join(',');
      await this.#json('DELETE', `status?ids=${some}`, { keepalive: leaving });
    }
  }

  /** The event stream's response, still open. */
  events(lastEventId, signal) {
    const headers = { Accept: 'text/event-stream' };
    if (lastEventId) headers['Last-Event-ID'] = lastEventId;
    return this.#send('GET', 'events', { headers, signal });
  }

  async #json(method, path, options = {}) {
    const response = await this.#send(method, path, { ...options, signal: AbortSignal.timeout(PATIENCE_MS) });
    try {
      return await response.json();
    } catch (cause) {
      throw new Unreachable('The answer broke off.', { cause });
    }
  }

  async #send(method, path, { headers = {}, body, signal, keepalive = false }) {
    const request = { method, signal, keepalive, cache: 'no-store', headers: { ...headers, Authorization: `Bearer ${this.#key}` } };
    if (body) {
      request.body = JSON.stringify(body);
      request.headers['Content-Type'] = 'application/json';
    }
    let response;
    try {
      response = await fetch(path, request);
    } catch (cause) {
      throw new Unreachable('The server can’t be reached.', { cause });
    }
    this.#noteLimits(response.headers);
    if (response.ok) return response;
    const error = (await response.json().catch(() => null))?.error;
    if (!error) throw new Unreachable(`The server can’t be reached (${response.status}).`);
    throw new Refused(response.status, error, response.headers);
  }

  #noteLimits(headers) {
    if (!headers.has('X-RateLimit-Limit')) return;
    this.#onLimits({
      limit: Number(headers.get('X-RateLimit-Limit')),
      remaining: Number(headers.get('X-RateLimit-Remaining')),
      resetAt: Number(headers.get('X-RateLimit-Reset')) * 1000,
    });
  }
}

/** The server's own files, reached where the page came from: its public address may be another, which the page's policy refuses. */
export function here(url) {
  return url && new URL(`static/downloads/${url.slice(url.lastIndexOf('/') + 1)}`, document.baseURI).href;
}

/** 128 random bits. (`randomUUID` needs https, which a box at home seldom has.) */
export function randomId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
