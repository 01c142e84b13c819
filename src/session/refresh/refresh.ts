import { sessionEnded } from '../session-end.ts'
import type { SessionEnvironment } from '../session-environment.ts'
import type { TokenSet } from '../token-set/token-set.ts'
import { claimed, isClaimed, pause, unclaimed } from './claim.ts'
import { inTurn, noTurn } from './in-turn.ts'
import { assertNotEnded, type Followed, reread, usable } from './latest-set.ts'
import type { Lineage } from './lineage.ts'
import type { RefreshAsk, RefreshResult } from './refresh-ask.ts'
import { type Spending, spend } from './spend.ts'

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
  return token === undefined ? undefined : { set, token, cache: 'l2' }
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
    const outcome = await spend(env, lineage, { ...free, ask })
    if ('token' in outcome) return outcome
    if (tokens === MAX_TOKENS) throw noTurn(outcome.cause)
    current = outcome.newer
  }
}

/** A set that nobody else spends. */
type Free = Omit<Spending, 'ask'>

/** The set that may be spent now, once nobody else spends it; or what came of that. */
async function freeOf(
  env: SessionEnvironment,
  lineage: Lineage,
  ask: TurnAsk & { readonly current: TokenSet },
): Promise<RefreshResult | Free> {
  const { clock } = env.oauth
  const patientUntil = clock.now() + env.deadlineMs * TURN_SHARE
  let { current } = ask
  for (;;) {
    const { set, isLast } = await latest(env, lineage, current)
    const late = await found(lineage, ask, set)
    if (late !== undefined) return late
    // A cookie may be older than what another process has got for it: only the successor tells.
    if (!isLast && ask.session.kind === 'carried') throw noTurn()
    await assertNotEnded(env, lineage, { session: ask.session, set })
    const mine = await toSpend(env, ask, set)
    if (mine !== undefined) return mine
    if (clock.now() >= patientUntil) throw noTurn()
    await pause(env)
    current = await reread(env, lineage, ask)
  }
}

/** The set that may be spent now; nothing where somebody else spends it. */
async function toSpend(env: SessionEnvironment, ask: TurnAsk, set: TokenSet): Promise<Free | undefined> {
  if (set.refreshToken === undefined) return { set, wasInterrupted: false }
  if (isClaimed(set, env.oauth.clock.now())) return undefined
  const before = await intent(env, ask, set)
  if (before === 'young' || ask.hasTurn)
    return before === 'young' ? undefined : { set, wasInterrupted: before === 'old' }
  const mine = await claimed(env, ask.session, set)
  if (mine === undefined) return undefined
  // Whoever has the lock may have begun between the look and the claim.
  if ((await intent(env, ask, mine)) !== 'young') return { set: mine, wasInterrupted: before === 'old' }
  await unclaimed(ask.session, mine)
  return undefined
}

/**
 * What is known of somebody who has begun to spend a set. One that may still be at it counts where a turn does not keep others away: there is none, or its holder was
 * to tell by the successor what came of it, and has not been able to yet.
 *
 * @throws StoreError with code `coordination_unavailable` where nobody can be asked, and that is needed.
 */
async function intent(
  { memory, oauth }: SessionEnvironment,
  { hasTurn, session }: TurnAsk,
  set: TokenSet,
): Promise<'young' | 'old' | undefined> {
  const until = await memory.intentOf(set)
  const counts = !hasTurn || session.kind === 'carried'
  if (until === 'unknown' && counts) throw noTurn()
  if (until === undefined || until === 'unknown') return undefined
  return counts && oauth.clock.now() < until ? 'young' : 'old'
}
