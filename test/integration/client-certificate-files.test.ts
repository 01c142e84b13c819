import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { clientCertificate } from 'evertoken/node'
import { describe, expect } from 'vitest'
import { test } from '../support/certificate-fixtures.ts'
import { rejection } from '../support/fixtures.ts'
import { type EchoedRequest, startMtlsServer, thumbprintOf } from '../support/mtls-servers.ts'
import { createTestClock } from '../support/test-clock.ts'

const SECOND = 1000
const MINUTE = 60 * SECOND
const DAY = 86_400 * SECOND

async function peerSeen(certificate: { readonly fetch: typeof fetch }, origin: string): Promise<string | null> {
  return ((await (await certificate.fetch(origin)).json()) as EchoedRequest).thumbprint
}

describe('N7.05 F9.09 files that are replaced while the certificate is in use', () => {
  test('N7.05 F9.09 the next request after a look presents the new pair', async ({
    files,
    pairs,
    echo,
    clock,
    open,
  }) => {
    const certificate = open(files, { clock })
    expect(await peerSeen(certificate, echo.origin)).toBe(thumbprintOf(pairs.blue.cert))
    const newer = pairs.green
    await files.replace('key', newer.key)
    await files.replace('cert', newer.cert)
    await clock.advance(SECOND)
    await certificate.refresh()
    expect(certificate.thumbprint).toBe(thumbprintOf(newer.cert))
    expect(await peerSeen(certificate, echo.origin)).toBe(thumbprintOf(newer.cert))
  })

  test('N7.05 nobody has to ask: a timer looks every checkEveryMs', async ({ files, pairs, clock, open }) => {
    const certificate = open(files, { clock, checkEveryMs: 5 * MINUTE })
    for (const { cert, key } of [pairs.green, pairs.blue]) {
      await files.replace('key', key)
      await files.replace('cert', cert)
      await clock.advance(5 * MINUTE - 1)
      expect(certificate.thumbprint).not.toBe(thumbprintOf(cert))
      await clock.advance(1)
      // The look of the timer is under way, and another within its second would be none.
      await certificate.refresh()
      expect(certificate.thumbprint).toBe(thumbprintOf(cert))
      await clock.untilPending()
    }
  })

  test('the files are looked at once a second at most', async ({ files, pairs, clock, open }) => {
    const certificate = open(files, { clock })
    await files.replace('key', pairs.green.key)
    await files.replace('cert', pairs.green.cert)
    await clock.advance(SECOND - 1)
    await certificate.refresh()
    expect(certificate.thumbprint).toBe(thumbprintOf(pairs.blue.cert))
    await clock.advance(1)
    await Promise.all([certificate.refresh(), certificate.refresh()])
    expect(certificate.thumbprint).toBe(thumbprintOf(pairs.green.cert))
  })

  const halves = [
    { name: 'a new certificate with the old key', break: 'cert', text: 'other' },
    { name: 'a new key with the old certificate', break: 'key', text: 'other' },
    { name: 'a certificate that is written half', break: 'cert', text: '-----BEGIN CERTIFICATE-----\nMIIB' },
    { name: 'a key that is written half', break: 'key', text: '-----BEGIN PRIVATE KEY-----\nMIIB' },
  ] as const
  test.for(halves)(
    'N7.05 $name keeps the old pair, until both are there',
    async (half, { files, pairs, echo, clock, open }) => {
      const certificate = open(files, { clock })
      const { green } = pairs
      await files.replace(half.break, half.text === 'other' ? green[half.break] : half.text)
      for (let looks = 0; looks < 3; looks++) {
        await clock.advance(SECOND)
        await certificate.refresh()
        expect(await peerSeen(certificate, echo.origin)).toBe(thumbprintOf(pairs.blue.cert))
      }
      await files.replace('key', green.key)
      await files.replace('cert', green.cert)
      await clock.advance(SECOND)
      await certificate.refresh()
      expect(await peerSeen(certificate, echo.origin)).toBe(thumbprintOf(green.cert))
    },
  )

  test('files that are gone keep the old pair', async ({ files, pairs, echo, clock, open }) => {
    const certificate = open(files, { clock })
    await rm(files.keyFile)
    await clock.advance(SECOND)
    await certificate.refresh()
    expect(await peerSeen(certificate, echo.origin)).toBe(thumbprintOf(pairs.blue.cert))
  })

  test('N7.05 a request under way ends over the old connection, which is then closed', async ({
    files,
    pairs,
    authority,
    clock,
    open,
  }) => {
    const finish: (() => void)[] = []
    await using server = await startMtlsServer(authority, {
      answer: () => (response) => void finish.push(() => response.end('done')),
    })
    const certificate = open(files, { clock })
    const before = certificate.fetch(server.origin)
    await server.nextRequest()
    await files.replace('key', pairs.green.key)
    await files.replace('cert', pairs.green.cert)
    await clock.advance(SECOND)
    await certificate.refresh()
    const after = certificate.fetch(server.origin)
    await server.nextRequest()
    expect(server.openSockets).toBe(2)
    for (const end of finish) end()
    expect(await (await before).text()).toBe('done')
    expect(await (await after).text()).toBe('done')
    expect(server.requests.map(({ connection }) => connection)).toEqual([1, 2])
    await expect.poll(() => server.openSockets, { interval: 5 }).toBe(1)
  })

  test('F9.09 a certificate that is not valid yet waits until it is, and the old one serves on', async ({
    files,
    authority,
    clock,
    echo,
    open,
  }) => {
    const certificate = open(files, { clock })
    const { thumbprint } = certificate
    const next = await authority.issueClient({ name: 'blue', startsInDays: 2, expiresInDays: 9 })
    await files.replace('key', next.key)
    await files.replace('cert', next.cert)
    await clock.advance(SECOND)
    await certificate.refresh()
    expect(certificate.thumbprint).toBe(thumbprint)
    expect(await peerSeen(certificate, echo.origin)).toBe(thumbprint)
    const { cert, key } = next
    expect(() => open({ cert, key }, { clock })).toThrow(
      'expected a certificate that is valid, got one that is not before',
    )
  })

  test('F9.09 no request fails and none mixes while the files are replaced over and over', async ({
    files,
    pairs,
    echo,
    clock,
    open,
  }) => {
    const certificate = open(files, { clock })
    const seen: (string | null)[] = []
    let isOver = false
    const walk = async (): Promise<void> => {
      while (!isOver) seen.push(await peerSeen(certificate, echo.origin))
    }
    const walks = Promise.all(Array.from({ length: 4 }, walk))
    for (let turn = 0; turn < 20; turn++) {
      const { cert, key } = turn % 2 === 0 ? pairs.green : pairs.blue
      await files.replace('cert', cert)
      await clock.advance(SECOND)
      await certificate.refresh()
      await files.replace('key', key)
      await clock.advance(SECOND)
      await certificate.refresh()
      expect(certificate.thumbprint).toBe(thumbprintOf(cert))
      await peerSeen(certificate, echo.origin)
    }
    isOver = true
    await walks
    expect(new Set(seen)).toEqual(new Set([pairs.blue, pairs.green].map(({ cert }) => thumbprintOf(cert))))
  })

  test('a replaced file of authorities changes whom new connections trust', async ({
    files,
    pairs,
    authority,
    clock,
    echo,
  }) => {
    const caFile = join(files.folder, 'ca.crt')
    // Another authority, which has signed nothing here.
    await writeFile(caFile, (await authority.issueClient({ name: 'other', selfSigned: true })).cert)
    await using certificate = clientCertificate({ ...files, caFile }, { clock })
    await rejection(certificate.fetch(echo.origin))
    await writeFile(caFile, authority.ca)
    await clock.advance(SECOND)
    await certificate.refresh()
    expect(await peerSeen(certificate, echo.origin)).toBe(thumbprintOf(pairs.blue.cert))
  })
})

describe('F9.09 a certificate that ends while it is in use', () => {
  test('F9.09 tells when, and is refused from then on', async ({ authority, open }) => {
    const clock = createTestClock(Date.now())
    const certificate = open(await authority.issueClient({ name: 'short', expiresInDays: 7 }), { clock })
    expect(Math.abs(certificate.expiresAt - (Date.now() + 7 * DAY))).toBeLessThan(MINUTE)
    await clock.advance(6 * DAY)
    await certificate.refresh()
    await clock.advance(DAY)
    expect(await rejection(certificate.refresh())).toMatchObject({ code: 'certificate_expired' })
    expect(clock.pending).toBe(0)
  })

  test('F9.09 tells what is wrong with the files that should have replaced it, and recovers', async ({
    authority,
    pairs,
    files,
    open,
  }) => {
    const clock = createTestClock(Date.now())
    const certificate = open(files, { clock })
    const newer = await authority.issueClient({ name: 'newer', expiresInDays: 30 })
    await files.replace('cert', newer.cert)
    await clock.advance(2 * DAY)
    await clock.untilPending()
    await clock.advance(SECOND)
    const message = expect.stringContaining('expected the private key of certFile')
    expect(await rejection(certificate.refresh())).toMatchObject({ code: 'certificate_invalid', message })
    expect(certificate.thumbprint).toBe(thumbprintOf(pairs.blue.cert))
    await files.replace('key', newer.key)
    await clock.advance(SECOND)
    await certificate.refresh()
    expect(certificate.thumbprint).toBe(thumbprintOf(newer.cert))
  })
})
