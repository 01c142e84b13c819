import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { afterEach, beforeEach, describe, expect } from 'vitest'
import { test } from '../support/fixtures.ts'
import { type FleetProcess, type Report, startProcess } from '../support/fleet-process.ts'
import { type HostileServer, tokenJson } from '../support/hostile-server.ts'
import { hasPostgres, startPostgres } from '../support/postgres.ts'

const LEASE_MS = 3000
const PATIENCE_MS = 7000

/** Where processes share a lock and a store. */
interface Place {
  readonly place: string
  close(): Promise<void>
}

const kinds: readonly { readonly kind: 'postgres' | 'file'; readonly isMissing: boolean; open(): Promise<Place> }[] = [
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
    const started: FleetProcess[] = []
    beforeEach(async () => {
      shared = await open()
    })
    afterEach(async () => {
      await Promise.all(started.splice(0).map((process) => process.kill()))
      await shared.close()
    })

    async function startFour({ origin }: HostileServer): Promise<readonly FleetProcess[]> {
      const settings = { origin, clientIds: ['api'], kind, place: shared.place, key: '', leaseMs: LEASE_MS }
      const starting = ['one', 'two', 'three', 'four'].map(async (name) => {
        const process = await startProcess({ ...settings, name, offsetMs: 0, awaitsConnection: true })
        started.push(process)
        return process
      })
      return Promise.all(starting)
    }
    const outcomeOf = ({ tokens, failures }: Report): unknown => ({ tokens: Object.keys(tokens), failures })

    test('C5 4 processes, 1,000 cold calls each: one token request', async ({ server }) => {
      const fleet = await startFour(server)
      const reports = await Promise.all(fleet.map(({ call }) => call(1000)))
      expect(reports.map(outcomeOf)).toEqual(Array(4).fill({ tokens: ['token-1'], failures: {} }))
      expect(server.requests).toHaveLength(1)
    })

    test.for(['SIGKILL', 'SIGSTOP'] as const)(
      'C6 F7.01 F7.02 the one that asks gets a %s: one spare request, when the lease is over',
      async (signal, { server }) => {
        const fleet = await startFour(server)
        const [first, ...others] = fleet
        if (first === undefined) throw new Error('expected four processes, got none')
        server.answer = (request) => (request.n === 1 ? () => {} : tokenJson()(request))
        const asked = server.nextRequest()
        void first.call(1).catch(() => {})
        await asked
        first.signal(signal)
        const reports = await Promise.all(others.map(({ call }) => call(100)))
        expect(reports.map(outcomeOf)).toEqual(Array(3).fill({ tokens: ['token-2'], failures: {} }))
        // The lease was waited out, and not the seven seconds after which a token is asked for without the lock.
        for (const { longestMs } of reports) expect(longestMs).toBeLessThan(PATIENCE_MS)
        expect(server.requests).toHaveLength(2)
      },
    )
  })
})
