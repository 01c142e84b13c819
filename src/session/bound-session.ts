import { ConfigurationError, StoreError } from '../token/index.ts'
import { type Awaitable, type Clock, describe, withDeadline } from '../util/index.ts'
import type { SessionTokens } from './session-tokens.ts'
import { isSameUser } from './token-set/set-decisions.ts'
import type { TokenSet } from './token-set/token-set.ts'

/** Whose a session is to be, and where its deadline comes from. */
interface Binding {
  readonly client: string
  readonly clock: Clock
}

/** How long one reading or writing may take: whoever waits for it has the turn of everybody. */
const SESSION_MS = 2000

/**
 * A session as one request of one user sees it. What another client has begun is none for this one: its refresh token must not be sent to another server. And whoever
 * has begun with the tokens of one user never goes on with those of another, or of another sign-in under another id, which came in the same browser meanwhile.
 * A session that does not answer in time is one that fails: StoreError with code `store_timeout`.
 */
export function boundSession(session: SessionTokens, { client, clock }: Binding): SessionTokens {
  let user: TokenSet | undefined
  let { id } = session
  const within = <T>(what: string, work: () => Awaitable<T>): Promise<T> => {
    const text = `expected the session to ${what} within ${SESSION_MS} ms, got no answer`
    const error = (): Error => new StoreError(text, { code: 'store_timeout' })
    return withDeadline(async () => work(), { clock, ms: SESSION_MS, error })
  }
  return {
    // A sign-in may give it another one.
    get id() {
      return session.id
    },
    kind: session.kind ?? 'stored',
    async load() {
      if (session.id !== id) return undefined
      const set = await within('load', () => session.load())
      if (set === undefined || set.client !== client || session.id !== id) return undefined
      user ??= set
      return isSameUser(user, set) ? set : undefined
    },
    async save(set) {
      if (session.id !== id) return false
      const isKept: unknown = await within('save', () => session.save(set))
      assertTold(isKept)
      if (isKept) {
        user = set
        id = session.id
      }
      return isKept
    },
    async clear() {
      if (session.id === id) await within('clear', () => session.clear())
    },
  }
}

/** Nothing would count as no, and a session that was kept as one that is over. */
function assertTold(isKept: unknown): asserts isKept is boolean {
  if (typeof isKept === 'boolean') return
  const message = `expected save() of a session to tell whether the set was kept, true or false, got ${describe(isKept)}`
  throw new ConfigurationError(message, { code: 'session_invalid' })
}
