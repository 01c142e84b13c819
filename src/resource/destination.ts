import { ConfigurationError } from '../token/index.ts'
import { insecurityOf, parseUrl, redactedUrl } from '../util/index.ts'

/** Where tokens may be sent. `baseUrl` declares one origin; `origins` declares more. */
export type Destination =
  | { readonly baseUrl: string | URL; readonly origins?: readonly string[] | undefined }
  | { readonly baseUrl?: undefined; readonly origins: readonly string[] }

/** A destination that has been checked. */
export interface DestinationRules {
  /** What relative URLs resolve against. */
  readonly baseUrl: URL | undefined
  /** The origin of a URL. Refuses one that no token may be sent to, before there is a token. */
  allowedOrigin(url: URL): string
}

/**
 * Checks a destination.
 *
 * @throws ConfigurationError with code `destination_invalid`: not https (http only for loopback addresses), with user info, with
 * a query or a fragment, an origin with a path, or no origin at all.
 */
export function destinationRules({ baseUrl, origins = [] }: Destination, subject: string): DestinationRules {
  const base = baseUrl === undefined ? undefined : parseBase(baseUrl, subject)
  const allowed = new Set(origins.map((origin) => parseOrigin(origin, subject)))
  if (base !== undefined) allowed.add(base.origin)
  if (allowed.size === 0) throw invalid(`${subject}: expected baseUrl or origins, got neither`)
  return {
    baseUrl: base,
    allowedOrigin(url) {
      // A blob URL has the origin of the page that made it, and any URL may name a user: neither begins like this. To look at the whole takes a
      // quarter of the time that its parts take.
      const { href } = url
      for (const origin of allowed) if (href.startsWith(origin) && href[origin.length] === '/') return origin
      const insecurity = insecurityOf(url)
      const expected = insecurity ?? `a URL of ${[...allowed].join(', ')}`
      throw new ConfigurationError(`${subject}: expected ${expected}, got ${redactedUrl(url)}`, {
        code: 'destination_refused',
      })
    },
  }
}

function parseBase(baseUrl: string | URL, subject: string): URL {
  const url = parseUrl(String(baseUrl))
  if (url === undefined) throw invalid(`${subject}: expected baseUrl to be an absolute URL`)
  const insecurity = insecurityOf(url) ?? (url.search || url.hash ? 'a URL without query and fragment' : undefined)
  if (insecurity !== undefined) throw invalid(`${subject}: expected baseUrl to be ${insecurity}`)
  // A base is a folder: without the slash its last part would be lost when relative URLs resolve.
  if (!url.pathname.endsWith('/')) url.pathname += '/'
  return url
}

function parseOrigin(origin: unknown, subject: string): string {
  const url = typeof origin === 'string' ? parseUrl(origin) : undefined
  const isOrigin = url !== undefined && insecurityOf(url) === undefined && url.href === `${url.origin}/`
  if (!isOrigin) throw invalid(`${subject}: expected origins to be https origins such as "https://api.example"`)
  return url.origin
}

function invalid(message: string): ConfigurationError {
  return new ConfigurationError(message, { code: 'destination_invalid' })
}
