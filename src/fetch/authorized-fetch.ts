import type { ClientCertificate } from '../oauth/index.ts'
import type { Attempt, RequestAuthorizer, ResponseHead } from '../resource/index.ts'
import { type Awaitable, readCapped } from '../util/index.ts'
import { type AuthorizedFetchInit, type Call, initFor, readCall, readRequest, targetOf } from './call.ts'
import { isRedirect, MAX_REDIRECTS, type Redirect, redirectedHeaders, redirectOf, refused } from './redirect.ts'
import { type Body, replayableBody } from './replayable-body.ts'

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
  const abroad: Send = (call, attempt) => dispatch(options.fetch ?? globalThis.fetch, call, attempt)
  const send: Send = certificate === undefined ? abroad : (call, attempt) => dispatch(certificate.fetch, call, attempt)
  const start: Start = (call, after) => authorizer.begin(targetOf(call, certificate, after))
  return async (input, init) => {
    const request = typeof input === 'object' && 'headers' in input ? input : undefined
    const call = request === undefined ? readCall(input, init, baseUrl) : await readRequest(request, init, baseUrl)
    const tried = await sendWithRetries(call, await firstTry(call, start), send)
    const isFinal = !isRedirect(tried.response) || (call.init.redirect ?? 'follow') !== 'follow'
    return isFinal ? tried.response : follow({ call, ...tried }, { start, send, abroad })
  }
}

/** What one try is sent with. */
interface Try {
  readonly headers: Readonly<Record<string, string>>
  readonly content: Body | undefined
}
type Send = (call: Call, attempt: Try) => Promise<Response>
type Start = (call: Call, after?: Attempt) => Promise<Attempt>

/** A try, with what decides about the next one. */
interface AuthorizedTry {
  readonly attempt: Attempt
  readonly content: Body | undefined
}

/** The body is made before its proof, which is good for a short time only (RFC 9449 section 11.1). */
async function firstTry(call: Call, start: Start, after?: Attempt): Promise<AuthorizedTry> {
  const made = call.body.next()
  const content = isPending(made) ? await made : made
  return { content, attempt: await start(call, after) }
}

function isPending(made: Awaitable<Body | undefined>): made is PromiseLike<Body | undefined> {
  return typeof made === 'object' && 'then' in made
}

function dispatch(fetch: typeof globalThis.fetch, call: Call, { headers, content }: Try): Promise<Response> {
  return fetch(call.url, initFor(call, headers, content))
}

/** A response, and the try that it answers. */
interface Tried {
  readonly response: Response
  readonly attempt: Attempt
}

async function sendWithRetries(call: Call, first: AuthorizedTry, send: Send): Promise<Tried> {
  let { attempt, content } = first
  for (let tries = 1; ; tries++) {
    const response = await send(call, { headers: attempt.headers, content })
    const another = await nextTry(call, { response, attempt }, tries)
    if (another === undefined) return { response, attempt }
    drain(response)
    ;({ attempt, content } = another)
  }
}

/** The next try where there is one; the response stands where there is none. */
async function nextTry(
  { body }: Call,
  { response, attempt }: Tried,
  tries: number,
): Promise<AuthorizedTry | undefined> {
  try {
    const prepare = attempt.next(headOf(response))
    if (prepare === undefined || tries === MAX_TRIES) return undefined
    if (!body.isReplayable) {
      // Sent once and gone: the refusal is the answer, and the next call finds another token.
      prepare().catch(() => {})
      return undefined
    }
    const content = await body.next()
    const another = await prepare()
    return another && { content, attempt: another }
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
  readonly start: Start
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
      response = await abroad(call, { headers: {}, content: await call.body.next() })
      continue
    }
    ;({ response, attempt } = await sendWithRetries(call, await firstTry(call, start, attempt), send))
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
