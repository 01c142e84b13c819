import type { Attempt, RequestTarget } from '../resource/index.ts'
import { ConfigurationError } from '../token/index.ts'
import { parseUrl } from '../util/index.ts'
import {
  type Body,
  type BodySource,
  isStream,
  type ReplayableBody,
  replayableBody,
  requestBody,
} from './replayable-body.ts'

/** What `fetch` takes, a function in place of the body, which makes it anew for every try, and claims for proofs. */
export type AuthorizedFetchInit = Omit<RequestInit, 'body'> & {
  readonly body?: BodySource | null | undefined
  /** Claims beside those of RFC 9449 section 4.2, for the proofs of this request. */
  readonly proofClaims?: Readonly<Record<string, unknown>> | undefined
}

/** One request on its way, over tries and redirects. */
export interface Call {
  readonly url: URL
  readonly method: string
  /** The caller's own, copied; none if the caller gave none. */
  readonly headers: Headers | undefined
  readonly body: ReplayableBody
  readonly proofClaims: Readonly<Record<string, unknown>> | undefined
  readonly init: RequestInit
}

const NO_INIT: AuthorizedFetchInit = {}

/**
 * Reads what `fetch` was called with.
 *
 * @throws ConfigurationError with code `url_invalid`.
 */
export function readCall(input: unknown, init: AuthorizedFetchInit = NO_INIT, baseUrl: URL | undefined): Call {
  const url = parseUrl(String(input), baseUrl)
  if (url === undefined) {
    throw new ConfigurationError('expected an absolute URL, or a baseUrl to resolve a relative one against', {
      code: 'url_invalid',
    })
  }
  const { body, proofClaims, ...rest } = init
  const headers = init.headers === undefined ? undefined : new Headers(init.headers)
  return {
    url,
    method: (init.method ?? 'GET').toUpperCase(),
    headers,
    body: replayableBody(body),
    proofClaims,
    init: rest,
  }
}

/** The same for a `Request`, whose body has to be read. */
export async function readRequest(
  request: Request,
  init: AuthorizedFetchInit = NO_INIT,
  baseUrl: URL | undefined,
): Promise<Call> {
  const { method = request.method, headers = request.headers } = init
  const call = readCall(request.url, { ...init, method, headers }, baseUrl)
  const body = init.body === undefined ? await requestBody(request) : call.body
  return { ...call, body, init: initOf(request, call.init) }
}

/** What an authorizer is told of a call. */
export function targetOf(call: Call, certificate: RequestTarget['certificate'], after?: Attempt): RequestTarget {
  const { url, method, headers, proofClaims, init } = call
  return { url, method, headers, proofClaims, signal: init.signal ?? undefined, certificate, after }
}

/** What a `Request` says beyond URL, method, headers and body; what is said beside it comes first. */
function initOf(request: Request, init: RequestInit): RequestInit {
  const { signal, redirect, cache, credentials, integrity, keepalive } = request
  const said = Object.fromEntries(Object.entries(init).filter(([, value]) => value !== undefined))
  return { signal, redirect, cache, credentials, integrity, keepalive, ...said }
}

/** What `fetch` is called with for one try. */
export function initFor(
  { method, headers, init }: Call,
  added: Readonly<Record<string, string>>,
  body?: Body,
): RequestInit {
  const sent = headers === undefined ? added : new Headers(headers)
  if (sent instanceof Headers) for (const [name, value] of Object.entries(added)) sent.set(name, value)
  return {
    ...init,
    method,
    headers: sent,
    ...(body !== undefined && { body }),
    ...(isStream(body) && { duplex: 'half' }),
    redirect: init.redirect === 'error' ? 'error' : 'manual',
  }
}
