// Finds YouTube videos in whatever somebody pasted, and says what is wrong with each link that is none.
// The server decides in the end; this is here so that a bad link is marked in place and the good ones go on.

const HOSTS = new Set([
  'youtube.com', 'www.youtube.com', 'm.youtube.com', 'music.youtube.com',
  'youtube-nocookie.com', 'www.youtube-nocookie.com',
]);
const CONSENT_HOST = 'consent.youtube.com';
const CARRIERS = { attribution_link: 'u', redirect: 'q' }; // pages that carry a link, and the field it is in
const SHORT_HOSTS = new Set(['youtu.be', 'www.youtu.be']);
const VIDEO_ID = /^[A-Za-z0-9_-]{11}$/;
const NO_IDS = new Set(['videoseries', 'live_stream']); // players of something else, whose names have an id's length
const A_BARE_ID = /^(?=.*[0-9_-]|.*[a-z][A-Z])[A-Za-z0-9_-]{11}$/; // not every word of eleven letters
const WORD = /[^\s<>"'`«»“”„|,;()[\]{}]+/g;
const LOOKS_LIKE_A_LINK = /^(?:[a-z][a-z0-9+.-]*:\/\/|(?:[a-z0-9-]+\.)+[a-z]{2,}(?:[/?#:]|$))/i;
const NAMES_A_HOST_WE_KNOW = /^(?:[a-z]+\.)?(?:youtu\.be|youtube(?:-nocookie)?\.com)/i;

/**
 * Everything in `text` that is or tries to be a link, in order of appearance.
 * Each: `{start, end, text}` and either `{id, url}` (a video), `{problem}` (a sentence), or `{list}` (a playlist; beside `{id, url}` where a video's link names one).
 * A bare `name.tld` without a path counts only when it is one of YouTube's, since prose is full of the others.
 */
export function readLinks(text) {
  const links = [];
  for (const match of text.matchAll(WORD)) {
    const word = match[0].replace(/[.!?:…]+$/, '');
    if (A_BARE_ID.test(word) && standsAlone(text, match)) {
      links.push({ start: match.index, end: match.index + word.length, text: word, ...judge(`youtu.be/${word}`) });
      continue;
    }
    if (!LOOKS_LIKE_A_LINK.test(word)) continue;
    if (!/[/?#]/.test(word) && !NAMES_A_HOST_WE_KNOW.test(word)) continue;
    links.push({ start: match.index, end: match.index + word.length, text: word, ...judge(word), ...listOf(word) });
  }
  return links;
}

/** Whether nothing else is on the line of `match`. */
function standsAlone(text, match) {
  const before = text.slice(text.lastIndexOf('\n', match.index - 1) + 1, match.index);
  const after = text.slice(match.index + match[0].length).split('\n', 1)[0];
  return match.index > 0 ? !before.trim() && !after.trim() : !after.trim();
}

/** The videos among `links`, each once. */
export function videosOf(links) {
  const byId = new Map();
  for (const link of links) if (link.id && !byId.has(link.id)) byId.set(link.id, link);
  return [...byId.values()];
}

function judge(word, mayCarry = true) {
  const url = parse(word);
  if (!url) return { problem: 'This link is incomplete.' };
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return { problem: 'Only links that begin with https:// can be converted.' };
  const host = url.hostname.toLowerCase();
  if (!HOSTS.has(host) && !SHORT_HOSTS.has(host) && host !== CONSENT_HOST) return { problem: `${host} is not YouTube.` };
  if (url.username || url.password || url.port) return { problem: 'This is not a usual YouTube link.' };
  const carrier = host === CONSENT_HOST ? 'continue' : HOSTS.has(host) && CARRIERS[url.pathname.split('/')[1]];
  if (carrier) {
    const carried = new Set(url.searchParams.getAll(carrier));
    if (!mayCarry || carried.size !== 1) return { problem: whatElse(url) };
    const [link] = carried;
    return judge(link.startsWith('/') ? `www.youtube.com${link}` : link, false);
  }
  const id = SHORT_HOSTS.has(host) ? url.pathname.split('/')[1] : idOnYouTube(url);
  if (new Set(url.searchParams.getAll('v')).size > 1) return { problem: 'This link names more than one video.' };
  if (id === undefined || NO_IDS.has(id)) return { problem: whatElse(url) };
  if (!VIDEO_ID.test(id)) return { problem: 'The end of this link is missing or mistyped: a video’s id has 11 characters.' };
  return { id, url: `https://www.youtube.com/watch?v=${id}` };
}

function parse(word) {
  try {
    return new URL(/^[a-z][a-z0-9+.-]*:\/\//i.test(word) ? word : `https://${word}`);
  } catch {
    return null;
  }
}

function idOnYouTube(url) {
  const [, first, second] = url.pathname.split('/');
  if ((first === 'watch' || first === '') && !second) return url.searchParams.get('v') ?? undefined;
  if (['shorts', 'live', 'embed', 'v', 'e', 'watch'].includes(first)) return second ?? '';
  return undefined;
}

/** `{list}`, a link that the server can look into, if `word` names a playlist or a channel; nothing is wrong with it, then. */
function listOf(word) {
  const url = parse(word);
  const host = url?.hostname.toLowerCase();
  if (!url || !/^https?:$/.test(url.protocol) || url.username || url.password || url.port || !(HOSTS.has(host) || SHORT_HOSTS.has(host))) return {};
  const list = url.searchParams.get('list');
  const { id } = judge(word);
  // A mix has no end, and YouTube adds one to links by itself.
  if (id) return list && !list.startsWith('RD') ? { list: `https://www.youtube.com/playlist?list=${encodeURIComponent(list)}` } : {};
  const first = url.pathname.split('/')[1];
  const channel = first.startsWith('@') || ['channel', 'c', 'user'].includes(first);
  return HOSTS.has(host) && ((first === 'playlist' && list) || channel) ? { list: url.href, problem: undefined } : {};
}

function whatElse(url) {
  return 'This YouTube page is not a video.';
}
