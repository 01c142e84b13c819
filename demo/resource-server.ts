import { createServer, type IncomingMessage } from 'node:http'
import { createRemoteJWKSet, errors, type JWTPayload, jwtVerify } from 'jose'
import type { DPoPCheck } from './dpop-check.ts'
import { listenOnLoopback } from './loopback.ts'
import { challengeOf, Refusal } from './refusal.ts'

/** Whose tokens an API takes, and what they must be good for. */
export interface ResourceServerOptions {
  readonly issuer: string
  readonly audience: string
  readonly scope: string
  /** Takes DPoP-bound tokens only, with proofs that pass this check (RFC 9449). Default: takes Bearer tokens. */
  readonly dpop?: DPoPCheck
  /** Awaited when a genuine token has come with a request, before it is looked for among those that are refused. */
  readonly onToken?: (arrival: TokenArrival) => Promise<void>
}

/** A genuine token, and the path and query that it came with. */
export interface TokenArrival {
  readonly jti: string
  readonly target: string
}

/** An API that checks access tokens. */
export interface ResourceServer extends AsyncDisposable {
  readonly url: string
  /** How many requests were answered with which status. */
  readonly answers: ReadonlyMap<number, number>
  /** Refuses the token that was accepted last, from now on. */
  rejectCurrent(): void
  /** Refuses the token with this `jti`, from now on. */
  reject(jti: string): void
  /** Refuses every token, or stops that. */
  rejectAll(on: boolean): void
  close(): Promise<void>
}

/** What an API does about a request. */
interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
}

/** Starts an API that takes JWT access tokens (RFC 9068) of one issuer, for itself, with one scope value. */
export async function startResourceServer(options: ResourceServerOptions): Promise<ResourceServer> {
  const { issuer, audience, scope, dpop, onToken } = options
  const keys = createRemoteJWKSet(new URL(`${issuer}/jwks`))
  const answers = new Map<number, number>()
  const rejected = new Set<string>()
  let current: string | undefined
  let rejectsAll = false

  async function verifyToken(token: string, target: string): Promise<JWTPayload> {
    const payload = await jwtVerify(token, keys, { issuer, audience, typ: 'at+jwt' }).then(
      (verified) => verified.payload,
      (error) => {
        throw invalidToken(error instanceof errors.JWTExpired ? 'expired' : 'not valid here')
      },
    )
    await onToken?.({ jti: String(payload.jti), target })
    if (rejectsAll || rejected.has(String(payload.jti))) throw invalidToken('revoked')
    if (!String(payload.scope).split(' ').includes(scope)) throw new Refusal('insufficient_scope', '', scope)
    current = payload.jti
    return payload
  }

  async function answerTo(request: IncomingMessage): Promise<Answer> {
    const { method = '', url = '', headers } = request
    const verify = (token: string): Promise<JWTPayload> => verifyToken(token, url)
    if (dpop === undefined) return await bearerAnswer(request, verify)
    const verdict = await dpop.check({ method, url: `http://127.0.0.1:${port}${url}`, headers }, verify)
    const date = new Date(dpop.now()).toUTCString()
    return { status: verdict.refusal?.status ?? 200, headers: { date, ...verdict.headers } }
  }

  const server = createServer(async (request, response) => {
    const { status, headers } = await answerTo(request)
    answers.set(status, (answers.get(status) ?? 0) + 1)
    response.writeHead(status, { 'content-type': 'application/json', ...headers })
    response.end(JSON.stringify({ status, path: request.url }))
  })
  const { port, shut } = await listenOnLoopback(server)
  return {
    url: `http://127.0.0.1:${port}/`,
    answers,
    rejectCurrent() {
      if (current !== undefined) rejected.add(current)
    },
    reject: (jti) => void rejected.add(jti),
    rejectAll(on) {
      rejectsAll = on
    },
    close: shut,
    [Symbol.asyncDispose]: shut,
  }
}

async function bearerAnswer(
  { headers }: IncomingMessage,
  verifyToken: (token: string) => Promise<unknown>,
): Promise<Answer> {
  const token = /^Bearer (\S+)$/i.exec(headers.authorization ?? '')?.[1]
  try {
    if (token === undefined) throw new Refusal('none')
    await verifyToken(token)
    return { status: 200, headers: {} }
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    return { status: error.status, headers: { 'www-authenticate': challengeOf('Bearer', error) } }
  }
}

function invalidToken(reason: string): Refusal {
  return new Refusal('invalid_token', `the token is ${reason}`)
}
