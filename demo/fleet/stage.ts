import type { Report } from '../report.ts'
import type { ResourceServer } from '../resource-server.ts'
import type { SharedRedis } from './shared-redis.ts'
import type { TokenDesk } from './token-desk.ts'
import type { TokenUse } from './token-use.ts'
import type { Fleet } from './workers.ts'

/** All that a round of the demo plays with. */
export interface Stage {
  readonly redis: SharedRedis
  readonly desk: TokenDesk
  readonly use: TokenUse
  readonly api: ResourceServer
  readonly fleet: Fleet
  readonly report: Report
  readonly signal: AbortSignal
  /** Tells of something that was promised otherwise. */
  mistake(who: string, text: string): void
  mistakes(): number
}
