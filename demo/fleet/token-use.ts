import { EventEmitter, once } from 'node:events'
import type { TokenArrival } from '../resource-server.ts'
import type { FleetWorker } from './workers.ts'

/** Which worker came with which token to the API. */
export interface TokenUse {
  /** What the API awaits for each token. */
  onToken(arrival: TokenArrival): Promise<void>
  /** Remembers who has which token now. */
  snapshot(): ReadonlyMap<number, string>
  /** Resolves when each of these workers has come with another token than in the snapshot. */
  untilOthers(workers: Iterable<FleetWorker>, snapshot: ReadonlyMap<number, string>, signal: AbortSignal): Promise<void>
  /** Lets requests for one path wait until so many have come. */
  gather(gathering: Gathering): void
}

/** Requests that are to be answered together. */
export interface Gathering {
  readonly path: string
  readonly requests: number
  /** Called when all have come, before the first of them goes on. */
  readonly onComplete: () => void
}

export function createTokenUse(): TokenUse {
  const latest = new Map<number, string>()
  const events = new EventEmitter()
  let gathering: Gathering | undefined
  let release: (() => void)[] = []

  return {
    async onToken({ jti, target }) {
      const { pathname, searchParams } = new URL(target, 'http://api')
      latest.set(Number(searchParams.get('worker')), jti)
      events.emit('use')
      if (gathering?.path !== pathname) return
      const { requests, onComplete } = gathering
      await new Promise<void>((resolve) => {
        release.push(resolve)
        if (release.length < requests) return
        gathering = undefined
        onComplete()
        for (const go of release) go()
        release = []
      })
    },
    snapshot: () => new Map(latest),
    async untilOthers(workers, snapshot, signal) {
      const isOther = ({ number }: FleetWorker): boolean =>
        latest.has(number) && latest.get(number) !== snapshot.get(number)
      while (![...workers].every(isOther)) await once(events, 'use', { signal })
    },
    gather(asked) {
      gathering = asked
    },
  }
}
