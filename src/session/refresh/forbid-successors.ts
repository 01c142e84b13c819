import type { SessionEnvironment } from '../session-environment.ts'
import type { TokenSet } from '../token-set/token-set.ts'

/** So long it is known at the least that a session was ended. */
const MIN_ENDED_MS = 10 * 60 * 1000

/**
 * A late response, or a thief, may bring the cookie of a session back that has ended: whoever looks for what came after any of its sets finds the end, as long as
 * something in them is good.
 */
export async function forbidSuccessors(
  { memory, oauth }: SessionEnvironment,
  sets: readonly TokenSet[],
  end: TokenSet,
): Promise<void> {
  const lives = sets.flatMap(({ accessTokens }) => accessTokens.map(({ token }) => token.expiresAt))
  const until = Math.max(oauth.clock.now() + MIN_ENDED_MS, ...lives)
  await Promise.all(sets.map((set) => memory.keepSuccessor(set, end, until)))
}
