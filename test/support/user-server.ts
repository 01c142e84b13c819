import { isEvertokenError, type TokenRequest } from 'evertoken'
import type { LoginResponse } from 'evertoken/session'

/** What a {@link UserServer} is made of. */
export interface UserServerOptions {
  readonly random: () => number
  /** Resolves when it is the turn of whoever waits. */
  readonly held: () => Promise<void>
  readonly counts: { refreshes: number; faults: number }
  readonly mixesUp: boolean
}

/** A server of many users whose tokens tell whose they are and what they were asked for; its refresh tokens rotate, and reuse is detected. */
export interface UserServer {
  readonly fetch: typeof globalThis.fetch
  login(subject: string, now: number): LoginResponse
  /** What the token of a request begins with. */
  nameOf(subject: string, request: TokenRequest | undefined): string
  /** Whether an error is one that the server has given this user. */
  isExpected(error: unknown, subject: string | undefined): error is Error
  /** Refresh tokens that came twice although no answer had got lost. */
  readonly reuses: readonly string[]
}

interface Family {
  readonly subject: string
  readonly id: number
  n: number
  isRevoked: boolean
  /** Whether an answer has got lost: then its refresh token may come again. */
  hasLost: boolean
}

const encode = (parts: readonly unknown[]): string => encodeURIComponent(JSON.stringify(parts))

/** Makes one. */
export function createUserServer({ random, held, counts, mixesUp }: UserServerOptions): UserServer {
  const families = new Map<number, Family>()
  const reuses: string[] = []
  let tokens = 0
  const refreshToken = ({ subject, id, n }: Family): string => `refresh.${subject}.${id}.${n}`

  function refused(subject: string, status: number, error: string): Response {
    counts.faults++
    return Response.json({ error, error_description: `refused for ${subject}` }, { status })
  }
  function answer(form: URLSearchParams): Response {
    const [, subject = '', id, n] = (form.get('refresh_token') ?? '').split('.')
    const family = families.get(Number(id))
    if (random() < 0.03) return refused(subject, 500, 'server_error')
    if (family === undefined || family.isRevoked) return refused(subject, 400, 'invalid_grant')
    if (family.n !== Number(n)) {
      if (!family.hasLost) reuses.push(`${subject} spent ${id}.${n} at ${family.n}`)
      family.isRevoked = true
      return refused(subject, 400, 'invalid_grant')
    }
    family.n++
    counts.refreshes++
    if (random() < 0.01) {
      family.hasLost = true
      return refused(subject, 502, 'bad_gateway')
    }
    const named = mixesUp && random() < 0.01 ? 'somebody-else' : subject
    const rest = [...form].filter(([name]) => !['grant_type', 'refresh_token'].includes(name))
    return Response.json({
      access_token: `${encode([named, ...rest])}.${++tokens}`,
      token_type: 'Bearer',
      expires_in: 60 + Math.floor(random() * 3600),
      refresh_token: refreshToken(family),
    })
  }

  return {
    async fetch(_url, init) {
      await held()
      const response = answer(new URLSearchParams(init?.body as URLSearchParams))
      await held()
      return response
    },
    login(subject, now) {
      const family = { subject, id: families.size + 1, n: 0, isRevoked: false, hasLost: false }
      families.set(family.id, family)
      const access_token = `${encode([subject])}.${++tokens}`
      const expires_in = 60 + Math.floor(random() * 3600)
      return { access_token, refresh_token: refreshToken(family), expires_in, subject, receivedAt: now }
    },
    nameOf(subject, { scope, resource, parameters } = {}) {
      const asked = [
        ...Object.entries(parameters ?? {}),
        ...(scope === undefined ? [] : [['scope', scope]]),
        ...[resource ?? []].flat().map((value) => ['resource', value]),
      ]
      return encode([subject, ...asked])
    },
    isExpected(error, subject): error is Error {
      if (!isEvertokenError(error)) return false
      const cause = error.cause ?? error
      const told = 'errorDescription' in Object(cause) ? Object(cause).errorDescription : undefined
      return told === undefined || told === `refused for ${subject}`
    },
    reuses,
  }
}
