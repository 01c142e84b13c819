import { TransportError } from '../token/index.ts'
import { insecurityOf, parseUrl, redactedUrl } from '../util/index.ts'

/** Where a redirect leads, and with what. */
export interface Redirect {
  readonly url: URL
  readonly method: string
  readonly keepsBody: boolean
  /** Whether it stays on the origin that the token was meant for. */
  readonly isSameOrigin: boolean
}

const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308])
/** As many as browsers follow. */
export const MAX_REDIRECTS = 20
/** What a foreign origin gets to see of the caller's headers. */
const HARMLESS: readonly string[] = ['accept', 'accept-encoding', 'accept-language', 'range', 'user-agent']

/** Whether a response sends its caller elsewhere. */
export function isRedirect({ status }: Response): boolean {
  return REDIRECTS.has(status)
}

/**
 * Reads a redirect (Fetch standard, HTTP-redirect fetch).
 *
 * @throws TransportError with code `redirect_refused` when it leads from https to http, or elsewhere where nothing may be sent.
 */
export function redirectOf(
  response: Response,
  { url, method }: { readonly url: URL; readonly method: string },
): Redirect | undefined {
  const location = isRedirect(response) ? response.headers.get('location') : null
  if (location === null) return undefined
  const target = parseUrl(location, url)
  if (target === undefined) throw refused('a redirect to a URL', 'one to something else')
  const isDowngrade = url.protocol === 'https:' && target.protocol === 'http:'
  const insecurity = isDowngrade ? 'an https URL' : insecurityOf(target)
  if (insecurity !== undefined) throw refused(`a redirect to ${insecurity}`, `one to ${redactedUrl(target)}`)
  // A fragment goes along unless the new URL has its own.
  if (target.hash === '') target.hash = url.hash
  const becomesGet =
    (response.status === 303 && method !== 'GET' && method !== 'HEAD') ||
    ((response.status === 301 || response.status === 302) && method === 'POST')
  return {
    url: target,
    method: becomesGet ? 'GET' : method,
    keepsBody: !becomesGet,
    isSameOrigin: target.origin === url.origin,
  }
}

/** The headers that may follow a redirect: without those of a body that is left behind, or only harmless ones. */
export function redirectedHeaders(
  headers: Headers | undefined,
  { keepsBody, isSameOrigin }: Redirect,
): Headers | undefined {
  if (headers === undefined) return undefined
  if (!isSameOrigin) return new Headers([...headers].filter(([name]) => HARMLESS.includes(name)))
  const kept = new Headers(headers)
  if (!keepsBody) for (const name of [...kept.keys()]) if (name.startsWith('content-')) kept.delete(name)
  return kept
}

/** What a redirect that is not followed is thrown as. */
export function refused(expected: string, came: string): TransportError {
  return new TransportError(`expected ${expected}, got ${came}`, { code: 'redirect_refused', retryable: false })
}
