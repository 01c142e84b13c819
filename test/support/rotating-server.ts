import { type Answer, errorJson, type Handler, type SeenRequest } from './hostile-server.ts'

/** What a login at the server would give. */
export interface Login {
  readonly access_token: string
  readonly refresh_token: string
  readonly expires_in: number
  /** With the user's leave for what goes on without a browser. */
  readonly scope: string
  readonly subject: string
}

/** A server with rotating refresh tokens that revokes a whole family when one is used twice (RFC 9700 section 4.14.2). */
export interface RotatingServer {
  /** Answers refreshes and revocations; to be the answer of a hostile server. */
  readonly answer: Handler
  login(subject: string): Login
  /** How often a refresh token came for the second time. */
  readonly reuses: number
  /** Successful refreshes, by subject. */
  readonly refreshes: ReadonlyMap<string, number>
  /** Tokens that were taken back on demand. */
  readonly revoked: readonly string[]
  /** Whether the subject's refresh token of the moment is good. */
  isAlive(subject: string): boolean
}

/** How a rotating server behaves. */
export interface RotatingServerOptions {
  readonly lifetimeSeconds?: number
  /** Whether the refresh token before the last one is taken once more, with the same answer. Default: false. */
  readonly hasGrace?: boolean
  /** What an answer to a refresh has beside or instead of its usual members; `undefined` leaves one out. */
  readonly members?: (refresh: { readonly subject: string; readonly n: number }) => Readonly<Record<string, unknown>>
}

interface Family {
  readonly subject: string
  n: number
  isRevoked: boolean
  lastAnswer: Answer | undefined
}

/** Makes one. Refresh tokens tell whose they are and how many there were before; so do access tokens. */
export function createRotatingServer({
  lifetimeSeconds = 3600,
  hasGrace = false,
  members = () => ({}),
}: RotatingServerOptions = {}): RotatingServer {
  const families = new Map<string, Family>()
  const refreshes = new Map<string, number>()
  const revoked: string[] = []
  let reuses = 0
  const refreshToken = ({ subject, n }: Family): string => `refresh-${subject}-${n}`

  function refresh({ form }: SeenRequest): Answer {
    const presented = form.get('refresh_token') ?? ''
    const [, subject = '', n = ''] = /^refresh-(.+)-(\d+)$/.exec(presented) ?? []
    const family = families.get(subject)
    if (family === undefined || family.isRevoked) return errorJson(400, 'invalid_grant')
    if (Number(n) !== family.n) {
      if (hasGrace && Number(n) === family.n - 1 && family.lastAnswer !== undefined) return family.lastAnswer
      reuses++
      family.isRevoked = true
      return errorJson(400, 'invalid_grant')
    }
    family.n++
    refreshes.set(subject, (refreshes.get(subject) ?? 0) + 1)
    const audience = form.get('resource') ?? ''
    const scope = form.get('scope')
    family.lastAnswer = {
      body: JSON.stringify({
        access_token: `access-${subject}-${family.n}${audience === '' ? '' : `-${audience}`}`,
        token_type: 'Bearer',
        expires_in: lifetimeSeconds,
        refresh_token: refreshToken(family),
        ...(scope !== null && { scope }),
        ...members({ subject, n: family.n }),
      }),
    }
    return family.lastAnswer
  }
  function revoke({ form }: SeenRequest): Answer {
    const token = form.get('token') ?? ''
    revoked.push(token)
    const [, subject = ''] = /^refresh-(.+)-\d+$/.exec(token) ?? []
    const family = families.get(subject)
    // A token that was spent is as good as unknown (RFC 7009 section 2.2).
    if (family !== undefined && refreshToken(family) === token) family.isRevoked = true
    return {}
  }

  return {
    answer: (request) => (request.url === '/revoke' ? revoke(request) : refresh(request)),
    login(subject) {
      const family = { subject, n: 0, isRevoked: false, lastAnswer: undefined }
      families.set(subject, family)
      const access_token = `access-${subject}-0`
      const scope = 'openid offline_access'
      return { access_token, refresh_token: refreshToken(family), expires_in: lifetimeSeconds, scope, subject }
    },
    get reuses() {
      return reuses
    },
    refreshes,
    revoked,
    isAlive: (subject) => families.get(subject)?.isRevoked === false,
  }
}
