import { setTimeout as pause } from 'node:timers/promises'
import type { AuthorizedFetch } from 'evertoken'
import type { Account } from './report.ts'

/** Calls one API again and again until it is told to stop. */
export interface Worker {
  /** Stops after the call that is under way. */
  stop(): Promise<void>
}

const PAUSE_MS = 100

/** What a worker does, and where it tells of it. */
export interface WorkerOptions {
  readonly call: AuthorizedFetch
  readonly path: string
  readonly report: Account
  /** A line about calls that went well, so often. Default 60. */
  readonly callsPerLine?: number
}

export function startWorker(name: string, { call, path, report, callsPerLine = 60 }: WorkerOptions): Worker {
  const stopping = new AbortController()
  const { totals } = report

  async function callOnce(): Promise<void> {
    totals.callsMade++
    try {
      const response = await call(path)
      await response.text()
      if (response.ok) return
      report.line(name, `the API answered ${response.status}`, 'bad')
    } catch (error) {
      report.line(name, `call failed: ${error instanceof Error ? error.message : 'unknown'}`, 'bad')
    }
    totals.callsFailed++
  }

  async function work(): Promise<void> {
    for (let calls = 1; !stopping.signal.aborted; calls++) {
      await callOnce()
      if (calls % callsPerLine === 0) report.line(name, `${calls} calls so far, token served from memory`, 'good')
      await pause(PAUSE_MS, undefined, { signal: stopping.signal }).catch(() => {})
    }
  }

  const done = work()
  return {
    async stop() {
      stopping.abort()
      await done
    },
  }
}
