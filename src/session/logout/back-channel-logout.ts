import type { ClientDefinitions } from '../../client/index.ts'
import { closedError } from '../../source/index.ts'
import { errorName } from '../../telemetry/index.ts'
import { StoreError, TransportError } from '../../token/index.ts'
import { readCapped, withDeadline } from '../../util/index.ts'
import { revokeSet } from '../ending/revocation.ts'
import type { TokenSet } from '../token-set/token-set.ts'
import type { UserClient } from '../user-client.ts'
import type { UserTokenManager } from '../user-token-manager.ts'
import { isOffline } from './logout.ts'
import { type BackChannelLogoutOptions, type LogoutReceiver, logoutReceiver } from './logout-receiver.ts'
import { type LogoutFault, type LogoutToken, readLogoutToken } from './logout-token.ts'

export type { BackChannelLogoutOptions } from './logout-receiver.ts'

/** Answers a request of the server. */
export type BackChannelLogout = (request: Request) => Promise<Response>

/** More than a logout token has. */
const MAX_BODY_BYTES = 16 * 1024
const FORM = /^application\/x-www-form-urlencoded\s*(?:;|$)/i
const NO_STORE = { 'cache-control': 'no-store' }

/**
 * The endpoint at which a server says that a user has logged out there (OpenID Connect Back-Channel Logout 1.0, `backchannel_logout_uri`). Ends the sessions that
 * the logout token is about, on all instances. It answers when they are over; their refresh tokens are revoked after that, those with `offline_access` are not.
 *
 * @throws ConfigurationError that names the option, for a client that is unknown, and for one of a server whose keys nobody can find.
 */
export function backChannelLogout<const Clients extends ClientDefinitions>(
  tokens: UserTokenManager<Clients>,
  options: BackChannelLogoutOptions<keyof Clients & string>,
): BackChannelLogout {
  const receiver = logoutReceiver(tokens, options)
  const { clientName, telemetry } = receiver.client.env.oauth
  return async (request) => {
    if (request.method !== 'POST') return new Response(null, { status: 405, headers: { ...NO_STORE, allow: 'POST' } })
    try {
      const fault = await received(receiver, request)
      if (fault === undefined) return new Response(null, { status: 200, headers: NO_STORE })
      telemetry.note({ name: 'logout_failed', client: clientName, reason: fault })
      return refusal('invalid_request', TEXTS[fault])
    } catch (error) {
      telemetry.note({ name: 'logout_failed', client: clientName, reason: errorName(error) })
      return refusal('temporarily_unavailable', 'expected the logout to be done, got an error here')
    }
  }
}

/** Section 2.8: whatever the reason, a logout that was not done is a 400. */
function refusal(error: string, description: string): Response {
  const body = JSON.stringify({ error, error_description: description })
  return new Response(body, { status: 400, headers: { ...NO_STORE, 'content-type': 'application/json' } })
}

/** Does what a request asks for, or tells what is wrong with it. */
async function received(receiver: LogoutReceiver, request: Request): Promise<LogoutFault | undefined> {
  const { client, issuer, check, algs, logouts } = receiver
  if (!client.isOpen) throw closedError()
  const text = await tokenIn(request, receiver)
  if (text === undefined) return 'request'
  const allowed = await algs()
  const { clock, clientId } = client.env.oauth
  const token = readLogoutToken(text, { issuer, clientId, algs: allowed, now: clock.wallTime() })
  if (typeof token === 'string') return token
  const fault = await check(text, allowed)
  if (fault !== undefined) return fault
  const settle = await logouts.take(token, clientId)
  if (settle === undefined) return 'replay'
  try {
    await endSessions(receiver, token)
  } catch (error) {
    await settle(false)
    throw error
  }
  await settle(true)
  return undefined
}

async function endSessions({ client, sessions }: LogoutReceiver, token: LogoutToken): Promise<void> {
  const { issuer, subject, sid, issuedAt: at } = token
  const { oauth, deadlineMs: ms } = client.env
  const error = (): StoreError =>
    new StoreError(`expected the sessions to end within ${ms} ms, got no end`, { code: 'store_timeout' })
  const { onEnded, begin } = revocations(client)
  try {
    const ended = await withDeadline(
      () => sessions.end({ issuer, clientId: oauth.clientId, subject, sid, at }, onEnded),
      { clock: oauth.clock, ms, error },
    )
    for (const set of ended) onEnded(set)
  } finally {
    begin()
  }
}

/** Whose end is told is revoked, whatever becomes of the others (section 2.7). */
function revocations(client: UserClient): {
  readonly onEnded: (set: TokenSet) => void
  readonly begin: () => void
} {
  const { env, name } = client
  const ended = new Set<TokenSet>()
  const waiting: TokenSet[] = []
  let isBegun = false
  // The server waits for an answer, and may not take requests of this client while it does.
  function begin(): void {
    isBegun = true
    if (waiting.length === 0) return
    // One after the other: a user may have had many sessions.
    env.closing.afterwards(async () => {
      for (const set of waiting.splice(0)) await revokeSet(env, set)
    })
  }
  function onEnded(set: TokenSet): void {
    if (ended.has(set)) return
    ended.add(set)
    env.telemetry.note({ name: 'session_ended', client: name, reason: 'back_channel_logout' })
    if (!isOffline(set)) waiting.push(set)
    // What ends after nobody has waited for it any more.
    if (isBegun) begin()
  }
  return { onEnded, begin }
}

/** The logout token of a form, which has one and no more. */
async function tokenIn(request: Request, { client }: LogoutReceiver): Promise<string | undefined> {
  if (!FORM.test(request.headers.get('content-type') ?? '')) return undefined
  const { oauth, deadlineMs: ms } = client.env
  const error = (): Error =>
    new TransportError(`expected a logout token within ${ms} ms, got less`, { code: 'timeout', retryable: true })
  const bytes = await withDeadline((signal) => readCapped(request, MAX_BODY_BYTES, signal), {
    clock: oauth.clock,
    ms,
    error,
  })
  if (bytes === undefined) return undefined
  const [token, ...others] = new URLSearchParams(new TextDecoder().decode(bytes)).getAll('logout_token')
  return others.length > 0 ? undefined : token
}

const TEXTS: Readonly<Record<LogoutFault, string>> = {
  request: 'expected a form with one logout_token and no more than 16 KiB',
  text: 'expected logout_token to be a signed JWT',
  alg: 'expected alg to be that of the ID tokens',
  typ: 'expected typ to be logout+jwt',
  iss: 'expected iss to be the issuer of this client',
  aud: 'expected aud to have this client in it',
  iat: 'expected iat to be of this moment',
  exp: 'expected exp to be in the future',
  jti: 'expected jti to be a text',
  events: 'expected events to have the member of a back-channel logout, an object',
  nonce: 'expected no nonce',
  sub: 'expected sub or sid to be a text',
  sid: 'expected sid to be a text',
  kid: 'expected kid to name a key of the server',
  signature: 'expected the signature to be that of the key',
  replay: 'expected a logout token that has not come before',
}
