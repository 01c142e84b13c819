const LOOPBACK_NAMES = new Set(['localhost', '[::1]'])
const LOOPBACK_IPV4 = /^127(?:\.\d{1,3}){3}$/

/** Whether a parsed URL names this machine itself: `localhost`, `*.localhost`, 127.0.0.0/8 or `[::1]`. */
export function isLoopback(url: URL): boolean {
  // WHATWG parsing has already turned decimal, octal, hexadecimal and short forms into four decimal parts.
  return LOOPBACK_NAMES.has(url.hostname) || url.hostname.endsWith('.localhost') || LOOPBACK_IPV4.test(url.hostname)
}

/** Why a URL may not carry secrets, or `undefined` when it may: https, or http to this machine, and no user info. */
export function insecurityOf(url: URL): string | undefined {
  if (url.username !== '' || url.password !== '') return 'a URL without user name and password'
  if (url.protocol === 'https:') return undefined
  if (url.protocol === 'http:' && isLoopback(url)) return undefined
  return 'an https URL (http only for loopback addresses)'
}

/** Where a URL leads, without what may be secret in it: user info, path, query, fragment. */
export function redactedUrl({ protocol, host }: URL): string {
  return host === '' ? protocol : `${protocol}//${host}`
}

/** Parses a URL, or gives `undefined`. */
export function parseUrl(input: string, base?: URL): URL | undefined {
  try {
    return new URL(input, base)
  } catch {
    return undefined
  }
}
