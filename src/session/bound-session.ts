import { ConfigurationError } from '../token/index.ts'
import { describe } from '../util/index.ts'
import type { SessionTokens } from './session-tokens.ts'
import { isSameUser } from './set-decisions.ts'
import type { TokenSet } from './token-set.ts'

/**
 * A session as one request of one user sees it. What another client has begun is none for this one: its refresh token must not be sent to another server. And whoever
 * has begun with the tokens of one user never goes on with those of another, or of another sign-in under another id, which came in the same browser meanwhile.
 */
export function boundSession(session: SessionTokens, client: string): SessionTokens {
  let user: TokenSet | undefined
  let { id } = session
  return {
    // A sign-in may give it another one.
    get id() {
      return session.id
    },
    kind: session.kind ?? 'stored',
    async load() {
      if (session.id !== id) return undefined
      const set = await session.load()
      if (set === undefined || set.client !== client || session.id !== id) return undefined
      user ??= set
      return isSameUser(user, set) ? set : undefined
    },
    async save(set) {
      if (session.id !== id) return false
      const isKept: unknown = await session.save(set)
      assertTold(isKept)
      if (isKept) {
        user = set
        id = session.id
      }
      return isKept
    },
    clear: () => (session.id === id ? session.clear() : undefined),
  }
}

/** Nothing would count as no, and a session that was kept as one that is over. */
function assertTold(isKept: unknown): asserts isKept is boolean {
  if (typeof isKept === 'boolean') return
  const message = `expected save() of a session to tell whether the set was kept, true or false, got ${describe(isKept)}`
  throw new ConfigurationError(message, { code: 'session_invalid' })
}
