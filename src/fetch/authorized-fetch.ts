import type { ClientCertificate } from '../oauth/index.ts'
import type { Attempt, RequestAuthorizer, RequestTarget, ResponseHead } from '../resource/index.ts'
import { ConfigurationError } from '../token/index.ts'
import { parseUrl, readCapped } from '../util/index.ts'
import { isRedirect, MAX_REDIRECTS, type Redirect, redirectedHeaders, redirectOf, refused } from './redirect.ts'
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

/** `fetch` with tokens. */
export type AuthorizedFetch = (input: string | URL | Request, init?: AuthorizedFetchInit) => Promise<Response>

/** What an {@link authorizedFetch} is made of. */
export interface AuthorizedFetchOptions {
  /** What relative URLs resolve against. */
  readonly baseUrl?: URL | undefined
  /** Sends the requests. Default: the global `fetch` at the time of the call. */
  readonly fetch?: typeof globalThis.fetch | undefined
  /** Its connections carry the requests to the declared origins, in place of `fetch`: tokens may be bound to it (RFC 8705 section 3). */
  readonly certificate?: ClientCertificate | undefined
}

/** One request on its way, over tries and redirects. */
interface Call {
  readonly url: URL
  readonly method: string
  /** The caller's own, copied; none if the caller gave none. */
  readonly headers: Headers | undefined
  readonly body: ReplayableBody
  readonly proofClaims: Readonly<Record<string, unknown>> | undefined
  readonly init: RequestInit
}

/** A request, and after it what answers a nonce, another clock and a refused token: authorizers end earlier by themselves. */
const MAX_TRIES = 4
/** Bodies of refused tries are read to their end up to this size, so that the connection can be used again. */
const DRAINED_BYTES = 64 * 1024

/**
 * Wraps `fetch` so that every request carries a token, is tried once more with another token when that one is refused, and
 * follows redirects without showing the token to a foreign origin.
 *
 * The returned function throws what the authorizer throws (nothing is sent then), and TransportError with code
 * `redirect_refused` for a redirect that cannot be followed safely.
 */
export function authorizedFetch(authorizer: RequestAuthorizer, options: AuthorizedFetchOptions = {}): AuthorizedFetch {
  const { baseUrl, certificate } = options
  const abroad: Send = (call, added) => dispatch(options.fetch ?? globalThis.fetch, call, added)
  const send: Send = certificate === undefined ? abroad : (call, added) => dispatch(certificate.fetch, call, added)
  const start = (call: Call, after?: Attempt): Promise<Attempt> =>
    authorizer.begin({ ...targetOf(call), certificate, after })
  return async (input, init) => {
    const request = typeof input === 'object' && 'headers' in input ? input : undefined
    const call = request === undefined ? readCall(input, init, baseUrl) : await readRequest(request, init, baseUrl)
    const tried = await sendWithRetries(call, await start(call), send)
    const isFinal = !isRedirect(tried.response) || (call.init.redirect ?? 'follow') !== 'follow'
    return isFinal ? tried.response : follow({ call, ...tried }, { start, send, abroad })
  }
}

type Send = (call: Call, headers: Readonly<Record<string, string>>) => Promise<Response>

const NO_INIT: AuthorizedFetchInit = {}

function readCall(input: unknown, init: AuthorizedFetchInit = NO_INIT, baseUrl: URL | undefined): Call {
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

async function readRequest(
  request: Request,
  init: AuthorizedFetchInit = NO_INIT,
  baseUrl: URL | undefined,
): Promise<Call> {
  const { method = request.method, headers = request.headers } = init
  const call = readCall(request.url, { ...init, method, headers }, baseUrl)
  const body = init.body === undefined ? await requestBody(request) : call.body
  return { ...call, body, init: initOf(request, call.init) }
}

function targetOf({ url, method, headers, proofClaims, init: { signal } }: Call): RequestTarget {
  return { url, method, headers, proofClaims, signal: signal ?? undefined }
}

/** What a `Request` says beyond URL, method, headers and body; what is said beside it comes first. */
function initOf(request: Request, init: RequestInit): RequestInit {
  const { signal, redirect, cache, credentials, integrity, keepalive } = request
  const said = Object.fromEntries(Object.entries(init).filter(([, value]) => value !== undefined))
  return { signal, redirect, cache, credentials, integrity, keepalive, ...said }
}

function dispatch(
  fetch: typeof globalThis.fetch,
  call: Call,
  added: Readonly<Record<string, string>>,
): Promise<Response> {
  const content = call.body.next()
  if (typeof content === 'object' && 'then' in content) {
    return Promise.resolve(content).then((made) => fetch(call.url, initFor(call, added, made)))
  }
  return fetch(call.url, initFor(call, added, content))
}

function initFor({ method, headers, init }: Call, added: Readonly<Record<string, string>>, body?: Body): RequestInit {
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

/** A response, and the try that it answers. */
interface Tried {
  readonly response: Response
  readonly attempt: Attempt
}

async function sendWithRetries(call: Call, first: Attempt, send: Send): Promise<Tried> {
  let attempt = first
  for (let tries = 1; ; tries++) {
    const response = await send(call, attempt.headers)
    const another = await anotherAttempt(call, { response, attempt }, tries)
    if (another === undefined) return { response, attempt }
    drain(response)
    attempt = another
  }
}

/** The next try where there is one; the response stands where there is none. */
async function anotherAttempt(
  { body }: Call,
  { response, attempt }: Tried,
  tries: number,
): Promise<Attempt | undefined> {
  try {
    const prepare = attempt.next(headOf(response))
    if (prepare === undefined || tries === MAX_TRIES) return undefined
    if (body.isReplayable) return await prepare()
    // Sent once and gone: the refusal is the answer, and the next call finds another token.
    prepare().catch(() => {})
    return undefined
  } catch (error) {
    drain(response)
    throw error
  }
}

interface Followed extends Tried {
  readonly call: Call
}

/** How requests leave, to the declared origins and beyond. */
interface Ways {
  readonly start: (call: Call, after: Attempt) => Promise<Attempt>
  readonly send: Send
  /** Without the certificate: a foreign origin has no business with it. */
  readonly abroad: Send
}

async function follow(tried: Followed, { start, send, abroad }: Ways): Promise<Response> {
  let { call, response, attempt } = tried
  let isTrusted = true
  for (let hops = 0; ; hops++) {
    const redirect = redirectOf(response, call)
    if (redirect === undefined) return response
    drain(response)
    if (hops === MAX_REDIRECTS) throw refused(`at most ${MAX_REDIRECTS} redirects`, 'more')
    call = redirected(call, redirect)
    // A chain that has once left the origin never gets the token back.
    isTrusted &&= redirect.isSameOrigin
    if (!isTrusted) {
      response = await abroad(call, {})
      continue
    }
    ;({ response, attempt } = await sendWithRetries(call, await start(call, attempt), send))
  }
}

function redirected(call: Call, redirect: Redirect): Call {
  const { url, method, keepsBody, isSameOrigin } = redirect
  const carriesBody = keepsBody && method !== 'GET' && method !== 'HEAD'
  if (carriesBody && !isSameOrigin) throw refused('a redirect of a body to stay on its origin', 'one to another')
  if (carriesBody && !call.body.isReplayable) throw refused('a redirect of a body that can be sent again', 'a stream')
  const body = carriesBody ? call.body : replayableBody(undefined)
  return { ...call, url, method, body, headers: redirectedHeaders(call.headers, redirect) }
}

function headOf({ status, headers }: Response): ResponseHead {
  return { status, header: (name) => headers.get(name) ?? undefined }
}

/** Reads a little of what is left of a response and cancels the rest, so that no connection is lost; nobody waits for that. */
function drain(response: Response): void {
  // A connection that broke has nothing left to free.
  readCapped(response, DRAINED_BYTES).catch(() => {})
}
