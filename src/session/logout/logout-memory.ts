import { LRUCache } from 'lru-cache'
import { type TokenStore, tolerantStore } from '../../store/index.ts'
import { harmless, noTelemetry, type Telemetry } from '../../telemetry/index.ts'
import { type Clock, canonicalText, sha256, systemClock } from '../../util/index.ts'
import type { LogoutToken } from './logout-token.ts'

/** Which logout tokens have come before. Only those that are genuine are remembered, so that nobody else can fill the memory. */
export interface LogoutMemory {
  /**
   * Takes a token for one of the clients that it may be for, in this process at once and in the fleet when it is settled; nothing where it was taken before.
   *
   * @returns To be told how the logout ended: a token whose logout failed may come again.
   */
  take(token: LogoutToken, clientId: string): Promise<((isDone: boolean) => Promise<void>) | undefined>
}

/** What {@link createLogoutMemory} needs: that of a manager. */
export interface LogoutMemoryOptions {
  readonly store?: TokenStore | undefined
  readonly telemetry?: Telemetry | undefined
  readonly clock?: Clock | undefined
}

/** More logouts than a process sees in the minutes for which a token is good. */
const MAX_TOKENS = 10_000

/** Remembers in this process, and in the store for the others: failures of the store count as "not there", for a logout that comes twice ends what is over. */
export function createLogoutMemory({ store, telemetry, clock = systemClock }: LogoutMemoryOptions): LogoutMemory {
  const taken = new LRUCache<string, number>({ max: MAX_TOKENS })
  const shared = store && tolerantStore(store, { clock, telemetry: harmless(telemetry ?? noTelemetry) })
  return {
    async take({ issuer, jti, until }, clientId) {
      const name = await sha256(canonicalText([1, 'logout token', issuer, clientId, jti]))
      // No await between the look and the claim.
      if (clock.now() < (taken.get(name) ?? 0)) return undefined
      taken.set(name, until)
      if ((await shared?.get(name)) !== undefined) return undefined
      return async (isDone) => {
        if (isDone) await shared?.set(name, '1', until)
        else taken.delete(name)
      }
    },
  }
}
