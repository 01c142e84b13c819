import { claimed, isClaimed, pause } from './claim.ts'
import { inTurn, noTurn } from './in-turn.ts'
import { type Followed, reread, usable } from './latest-set.ts'
import type { Lineage } from './lineage.ts'
import type { RefreshAsk, RefreshResult } from './refresh-ask.ts'
import { sessionEnded } from './session-end.ts'
import type { SessionEnvironment } from './session-environment.ts'
import { spend } from './spend.ts'
import type { TokenSet } from './token-set.ts'

/** How long a turn is waited for: longer than a refresh may take, and its set to be saved. */
const TURN_SHARE = 1.5
/** So many refresh tokens are tried in one turn: each is newer than the one before. */
const MAX_TOKENS = 3

/**
 * Refreshes a set. First what this process or another one has got meanwhile, then the lock, then both once more, then the server: of all who have the same
 * refresh token one spends it.
 */
export async function refreshInTurn(
  env: SessionEnvironment,
  lineage: Lineage,
  ask: RefreshAsk,
): Promise<RefreshResult> {
  const { oauth, lock, deadlineMs } = env
  const { set } = await latest(env, lineage, ask.known)
  const early = await found(lineage, ask, set)
  if (early !== undefined) return early
  return inTurn((hasTurn) => spendInTurn(env, lineage, { ...ask, hasTurn }), {
    lock,
    name: lineage.id,
    clock: oauth.clock,
    waitMs: deadlineMs * TURN_SHARE,
    mayGoWithout: ask.session.kind !== 'carried',
  })
}

/** The newest that came of a set, as far as that is known. */
async function latest(env: SessionEnvironment, lineage: Lineage, from: TokenSet): Promise<Followed> {
  const found = await usable(env, lineage, lineage.newest(from))
  if (found === 'over') throw sessionEnded(env.oauth.clientName, 'signed_out')
  return found
}

/** The token of a set, where there is one that needs nothing. */
async function found(lineage: Lineage, ask: RefreshAsk, set: TokenSet): Promise<RefreshResult | undefined> {
  lineage.learned(set)
  await lineage.prepare(set)
  const token = lineage.fresh(set, ask)
  return token === undefined ? undefined : { set, token }
}

/** Somebody whose turn it is; without a lock there are no turns, and the session is claimed instead. */
interface TurnAsk extends RefreshAsk {
  readonly hasTurn: boolean
}

async function spendInTurn(env: SessionEnvironment, lineage: Lineage, ask: TurnAsk): Promise<RefreshResult> {
  let current = await reread(env, lineage, ask)
  for (let tokens = 1; ; tokens++) {
    const free = await freeOf(env, lineage, { ...ask, current })
    if ('token' in free) return free
    const outcome = await spend(env, lineage, { ask, set: free.set })
    if ('token' in outcome) return outcome
    if (tokens === MAX_TOKENS) throw noTurn(outcome.cause)
    current = outcome.newer
  }
}

/** The set that may be spent now, once nobody else spends it; or what came of that. */
async function freeOf(
  env: SessionEnvironment,
  lineage: Lineage,
  ask: TurnAsk & { readonly current: TokenSet },
): Promise<RefreshResult | { readonly set: TokenSet }> {
  const { clock } = env.oauth
  const patientUntil = clock.now() + env.deadlineMs * TURN_SHARE
  let { current } = ask
  for (;;) {
    const { set, isLast } = await latest(env, lineage, current)
    const late = await found(lineage, ask, set)
    if (late !== undefined) return late
    // A cookie may be older than what another process has got for it: only the successor tells.
    if (!isLast && ask.session.kind === 'carried') throw noTurn()
    const mine = await toSpend(env, ask, set)
    if (mine !== undefined) return { set: mine }
    if (clock.now() >= patientUntil) throw noTurn()
    await pause(env)
    current = await reread(env, lineage, ask)
  }
}

/** The set that may be spent now; nothing where somebody else has claimed it. */
async function toSpend(env: SessionEnvironment, ask: TurnAsk, set: TokenSet): Promise<TokenSet | undefined> {
  if (isClaimed(set, env.oauth.clock.now())) return undefined
  if (ask.hasTurn || set.refreshToken === undefined) return set
  return claimed(env, ask.session, set)
}
