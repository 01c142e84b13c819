import { createServer, type IncomingMessage } from 'node:http'
import { createRemoteJWKSet, errors, jwtVerify } from 'jose'
import { listenOnLoopback } from './loopback.ts'

/** Whose tokens an API takes, and what they must be good for. */
export interface ResourceServerOptions {
  readonly issuer: string
  readonly audience: string
  readonly scope: string
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

/** What is wrong with a request (RFC 6750 section 3.1). */
interface Refusal {
  readonly status: number
  readonly challenge: string
}

/** Starts an API that takes JWT access tokens (RFC 9068) of one issuer, for itself, with one scope value. */
export async function startResourceServer({ issuer, audience, scope }: ResourceServerOptions): Promise<ResourceServer> {
  const keys = createRemoteJWKSet(new URL(`${issuer}/jwks`))
  const answers = new Map<number, number>()
  const rejected = new Set<string>()
  let current: string | undefined
  let rejectsAll = false

  async function refusalOf({ headers }: IncomingMessage): Promise<Refusal | undefined> {
    const token = /^Bearer (\S+)$/i.exec(headers.authorization ?? '')?.[1]
    if (token === undefined) return { status: 401, challenge: 'Bearer' }
    try {
      const { payload } = await jwtVerify(token, keys, { issuer, audience, typ: 'at+jwt' })
      if (rejectsAll || rejected.has(String(payload.jti))) return invalidToken('revoked')
      if (!String(payload.scope).split(' ').includes(scope)) {
        return { status: 403, challenge: `Bearer error="insufficient_scope", scope="${scope}"` }
      }
      current = payload.jti
      return undefined
    } catch (error) {
      return invalidToken(error instanceof errors.JWTExpired ? 'expired' : 'not valid here')
    }
  }

  const server = createServer(async (request, response) => {
    const refusal = await refusalOf(request)
    const status = refusal?.status ?? 200
    answers.set(status, (answers.get(status) ?? 0) + 1)
    if (refusal !== undefined) response.setHeader('www-authenticate', refusal.challenge)
    response.writeHead(status, { 'content-type': 'application/json' })
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

function invalidToken(reason: string): Refusal {
  return { status: 401, challenge: `Bearer error="invalid_token", error_description="the token is ${reason}"` }
}
