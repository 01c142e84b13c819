import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { afterEach, beforeEach, describe, expect } from 'vitest'
import { test } from '../support/fixtures.ts'
import { type HostileServer, tokenJson } from '../support/hostile-server.ts'
import { hasPostgres, startPostgres } from '../support/postgres.ts'

const program = fileURLToPath(new URL('../support/programs/fleet-process.mjs', import.meta.url))
const LEASE_MS = 3000
const PATIENCE_MS = 7000

interface Outcome {
  readonly tokens: readonly string[]
  readonly failed: number
  readonly ms: number
}

/** Where processes share a lock and a store. */
interface Place {
  readonly place: string
  close(): Promise<void>
}

const kinds: readonly { readonly kind: string; readonly isMissing: boolean; open(): Promise<Place> }[] = [
  {
    kind: 'postgres',
    isMissing: !hasPostgres && process.env.CI === undefined,
    async open() {
      const server = await startPostgres()
      const client = new pg.Client(server.url)
      await client.connect()
      await client.query('CREATE TABLE tokens (key text PRIMARY KEY, value text, expires_at bigint)')
      await client.end()
      return { place: String(server.port), close: server.stop }
    },
  },
  {
    kind: 'file',
    isMissing: false,
    async open() {
      const place = mkdtempSync(join(tmpdir(), 'evertoken-fleet-'))
      return { place, close: async () => rmSync(place, { recursive: true }) }
    },
  },
]

describe.each(kinds)('processes that take turns by a lock on $kind', ({ kind, isMissing, open }) => {
  describe.skipIf(isMissing)('and share a store', () => {
    let shared: Place
    const children: ChildProcess[] = []
    beforeEach(async () => {
      shared = await open()
    })
    afterEach(async () => {
      for (const child of children.splice(0)) child.kill('SIGKILL')
      await shared.close()
    })

    async function start({ tokenEndpoint }: HostileServer) {
      const args = [program, tokenEndpoint, shared.place, '', String(LEASE_MS), kind]
      const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] })
      children.push(child)
      const lines = createInterface({ input: child.stdout })
      await once(lines, 'line')
      return {
        child,
        async call(calls: number): Promise<Outcome> {
          child.stdin.write(`${calls}\n`)
          const [line] = await once(lines, 'line')
          return JSON.parse(String(line))
        },
      }
    }
    const withoutTime = ({ tokens, failed }: Outcome): unknown => ({ tokens, failed })

    test('C5 4 processes, 1,000 cold calls each: one token request', async ({ server }) => {
      const fleet = await Promise.all([1, 2, 3, 4].map(() => start(server)))
      const outcomes = await Promise.all(fleet.map(({ call }) => call(1000)))
      expect(outcomes.map(withoutTime)).toEqual(Array(4).fill({ tokens: ['token-1'], failed: 0 }))
      expect(server.requests).toHaveLength(1)
    })

    test.for(['SIGKILL', 'SIGSTOP'] as const)(
      'C6 F7.01 F7.02 the one that asks gets a %s: one spare request, when the lease is over',
      async (signal, { server }) => {
        const fleet = await Promise.all([1, 2, 3, 4].map(() => start(server)))
        const [first, ...others] = fleet
        if (first === undefined) throw new Error('expected four processes, got none')
        server.answer = (request) => (request.n === 1 ? () => {} : tokenJson()(request))
        const asked = server.nextRequest()
        void first.call(1).catch(() => {})
        await asked
        first.child.kill(signal)
        const outcomes = await Promise.all(others.map(({ call }) => call(100)))
        expect(outcomes.map(withoutTime)).toEqual(Array(3).fill({ tokens: ['token-2'], failed: 0 }))
        // The lease was waited out, and not the seven seconds after which a token is asked for without the lock.
        for (const { ms } of outcomes) expect(ms).toBeLessThan(PATIENCE_MS)
        expect(server.requests).toHaveLength(2)
      },
    )
  })
})
