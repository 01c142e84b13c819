import { describe } from 'vitest'
import { hasRedis } from '../support/redis.ts'
import { clockScenarios } from './clocks.ts'
import { herdScenarios } from './herd.ts'
import { holderScenarios } from './holders.ts'
import { lifeScenarios } from './lives.ts'
import { lossScenarios } from './losses.ts'
import { outageScenarios } from './outages.ts'
import { randomScenarios } from './random-events.ts'

// In one file, because nearly all of it is waiting: what takes longest comes first, the rest runs beside it.
const isMissing = !hasRedis && process.env.CI === undefined
/** `CHAOS_SEED` makes the chances of a run come back. */
const seed = Number(process.env.CHAOS_SEED ?? Math.floor(Math.random() * 2 ** 32))

describe.skipIf(isMissing)('a fleet under chaos', { concurrent: true }, () => {
  outageScenarios()
  herdScenarios()
  randomScenarios(seed)
  lossScenarios(seed)
  holderScenarios()
  clockScenarios()
  lifeScenarios()
})
