import { StoreError } from '../../token/index.ts'
import { delay } from '../../util/index.ts'
import type { SessionEnvironment } from '../session-environment.ts'
import type { SessionTokens } from '../session-tokens.ts'
import { changedSet, type TokenSet } from '../token-set/token-set.ts'

/** So often whoever waits for somebody else's refresh looks for what came of it. */
const PAUSE_MS = 100
/** A refresh that is asked for twice, and its set saved. */
const SPEND_SHARE = 2.5

/** Until when a refresh that begins now may take. */
export function spentBy({ oauth, deadlineMs }: SessionEnvironment): number {
  return Math.ceil(oauth.clock.now() + deadlineMs * SPEND_SHARE)
}

/** Whether somebody spends the refresh token of a set without a lock. */
export function isClaimed({ claimedUntil = 0, refreshToken }: TokenSet, now: number): boolean {
  return refreshToken !== undefined && now < claimedUntil
}

/**
 * Says in the session itself that its refresh token is about to be spent, where no lock is to be had: of all who try one gets to write. Nothing where
 * somebody else was quicker.
 *
 * @throws StoreError with code `coordination_unavailable` where the session takes no write: what comes of the refresh could not be kept either.
 */
export async function claimed(
  env: SessionEnvironment,
  session: SessionTokens,
  set: TokenSet,
): Promise<TokenSet | undefined> {
  const { clientName } = env.oauth
  const claim = changedSet(set, { generation: set.generation + 1, claimedUntil: spentBy(env) })
  try {
    return (await session.save(claim)) ? claim : undefined
  } catch (cause) {
    throw new StoreError(`client "${clientName}": expected a lock or a session that takes a write, got neither`, {
      code: 'coordination_unavailable',
      cause,
    })
  }
}

/** Takes a claim back that nothing came of; where that fails it ends by itself. */
export async function unclaimed(session: SessionTokens, claim: TokenSet): Promise<void> {
  const free = changedSet(claim, { generation: claim.generation + 1, claimedUntil: undefined })
  await Promise.resolve(session.save(free)).catch(() => {})
}

/** Lets somebody else get on. */
export function pause({ oauth }: SessionEnvironment): Promise<void> {
  return delay(oauth.clock, PAUSE_MS)
}
