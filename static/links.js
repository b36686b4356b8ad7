// Finds YouTube videos in whatever somebody pasted, and says what is wrong with each link that is none.
// The server decides in the end; this is here so that a bad link is marked in place and the good ones go on.

const HOSTS = new Set([
  'youtube.com', 'www.youtube.com', 'm.youtube.com', 'music.youtube.com',
  'youtube-nocookie.com', 'www.youtube-nocookie.com',
]);
const SHORT_HOSTS = new Set(['youtu.be', 'www.youtu.be']);
const VIDEO_ID = /^[A-Za-z0-9_-]{11}$/;
const NO_IDS = new Set(['videoseries', 'live_stream']); // players of something else, whose names have an id's length
const WORD = /[^\s<>"'`«»“”„|,;()[\]{}]+/g;
const LOOKS_LIKE_A_LINK = /^(?:[a-z][a-z0-9+.-]*:\/\/|(?:[a-z0-9-]+\.)+[a-z]{2,}(?:[/?#:]|$))/i;
const NAMES_A_HOST_WE_KNOW = /^(?:[a-z]+\.)?(?:youtu\.be|youtube(?:-nocookie)?\.com)/i;

/**
 * Everything in `text` that is or tries to be a link, in order of appearance.
 * Each: `{start, end, text}` and either `{id, url}` (a video) or `{problem}` (a sentence).
 * A bare `name.tld` without a path counts only when it is one of YouTube's, since prose is full of the others.
 */
export function readLinks(text) {
  const links = [];
  for (const match of text.matchAll(WORD)) {
    const word = match[0].replace(/[.!?:…]+$/, '');
    if (!LOOKS_LIKE_A_LINK.test(word)) continue;
    if (!/[/?#]/.test(word) && !NAMES_A_HOST_WE_KNOW.test(word)) continue;
    links.push({ start: match.index, end: match.index + word.length, text: word, ...judge(word) });
  }
  return links;
}

/** The videos among `links`, each once. */
export function videosOf(links) {
  const byId = new Map();
  for (const link of links) if (link.id && !byId.has(link.id)) byId.set(link.id, link);
  return [...byId.values()];
}

function judge(word) {
  const url = parse(word);
  if (!url) return { problem: 'This link is incomplete.' };
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return { problem: 'Only links that begin with https:// can be converted.' };
  const host = url.hostname.toLowerCase();
  if (!HOSTS.has(host) && !SHORT_HOSTS.has(host)) return { problem: `${host} is not YouTube.` };
  if (url.username || url.password || url.port) return { problem: 'This is not a usual YouTube link.' };
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
  if (first === 'watch') return url.searchParams.get('v') ?? undefined;
  if (['shorts', 'live', 'embed', 'v'].includes(first)) return second ?? '';
  return undefined;
}

function whatElse(url) {
  const first = url.pathname.split('/')[1];
  if (first === 'playlist' || url.searchParams.has('list')) return 'This is a playlist. Open one of its videos and copy that link.';
  if (first.startsWith('@') || ['channel', 'c', 'user'].includes(first)) return 'This is a channel. Open one of its videos and copy that link.';
  return 'This YouTube page is not a video.';
}
