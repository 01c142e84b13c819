import type { Tone, Totals } from '../report.ts'

/** What a worker has to know, told to it when it has started: nothing of it stands in its arguments. */
export interface WorkerSettings {
  readonly number: number
  readonly redisUrl: string
  /** What the names of all keys and channels begin with. */
  readonly prefix: string
  readonly encryptionKey: string
  readonly issuer: string
  readonly secret: string
  readonly apiUrl: string
  readonly leaseMs: number
}

/** From the demo to a worker. */
export type Order =
  | { readonly kind: 'settings'; readonly settings: WorkerSettings }
  /** Calls the API from now on, again and again. */
  | { readonly kind: 'work' }
  /** Makes so many calls at once, beside those. */
  | { readonly kind: 'burst'; readonly calls: number; readonly path: string }
  | { readonly kind: 'stop' }

/** From a worker to the demo. */
export type News =
  | { readonly kind: 'started' | 'ready' | 'burst_over' }
  | { readonly kind: 'line'; readonly text: string; readonly tone: Tone }
  | { readonly kind: 'totals'; readonly totals: Totals }
  /** It asks the authorization server for a token. */
  | { readonly kind: 'asking' }
