import { SignJWT } from 'jose'
import { withMetadata } from './handlers.ts'
import type { HostileServer } from './hostile-server.ts'
import { type TestKey, testKey } from './keys.ts'
import { createRotatingServer, type RotatingServer } from './rotating-server.ts'

export const LOGOUT_EVENT = 'http://schemas.openid.net/event/backchannel-logout'
/** The client of `clientOf`. */
export const CLIENT_ID = 'machine'

/** A server that tells of logouts, whose tokens rotate. */
export interface LogoutServer {
  readonly rotating: RotatingServer
  /** What it publishes; changes take effect at once. */
  keys: readonly Readonly<Record<string, unknown>>[]
  /** What the endpoint of keys does in place of publishing them. */
  fault: (() => { readonly status?: number; readonly body?: string }) | undefined
  /** How often it was asked for its keys. */
  readonly jwksRequests: number
  /** What a login would answer. */
  login(subject: string, claims?: Readonly<Record<string, unknown>>): Promise<LoginAnswer>
}

interface LoginAnswer {
  readonly access_token: string
  readonly refresh_token: string
  readonly expires_in: number
  readonly subject: string
  readonly id_token: string
}

/** Makes a hostile server one. */
export async function createLogoutServer(
  server: HostileServer,
  { now, metadata = {} }: { readonly now: () => number; readonly metadata?: Readonly<Record<string, unknown>> },
): Promise<LogoutServer> {
  const rotating = createRotatingServer()
  const key = await testKey('RS256')
  let jwksRequests = 0
  const logoutServer: LogoutServer = {
    rotating,
    keys: [key.publicJwk],
    fault: undefined,
    get jwksRequests() {
      return jwksRequests
    },
    async login(subject, claims = {}) {
      const id = { iss: server.origin, aud: CLIENT_ID, sub: subject.split('#')[0], ...claims }
      const id_token = await signed(key, { iat: Math.floor(now() / 1000), exp: Math.floor(now() / 1000) + 600, ...id })
      const { subject: _, ...answer } = rotating.login(subject)
      // Without the user's leave for what goes on without a browser.
      return { ...answer, scope: 'openid', subject: String(id.sub), id_token }
    },
  }
  server.answer = withMetadata((request) => {
    if (request.url !== '/jwks') return rotating.answer(request)
    jwksRequests++
    return logoutServer.fault?.() ?? { body: JSON.stringify({ keys: logoutServer.keys }) }
  }, metadata)
  return logoutServer
}

let tokens = 0

/** The claims of a logout token that is as it has to be. */
export function logoutClaims(issuer: string, now: number, members: Readonly<Record<string, unknown>> = {}) {
  const iat = Math.floor(now / 1000)
  const claims = {
    iss: issuer,
    aud: CLIENT_ID,
    iat,
    exp: iat + 120,
    jti: `jti-${++tokens}`,
    events: { [LOGOUT_EVENT]: {} },
  }
  return { ...claims, ...members }
}

/** Signs claims as a server does. */
export function signed(
  { keyObject, kid, alg }: Pick<TestKey, 'keyObject' | 'kid' | 'alg'>,
  claims: Readonly<Record<string, unknown>>,
  header: Readonly<Record<string, unknown>> = {},
): Promise<string> {
  return new SignJWT(claims).setProtectedHeader({ alg, kid, typ: 'logout+jwt', ...header }).sign(keyObject)
}

/** The request that carries a logout token. */
export function logoutRequest(token: string): Request {
  return new Request('https://client.example/logout', {
    method: 'POST',
    body: new URLSearchParams({ logout_token: token }),
  })
}
