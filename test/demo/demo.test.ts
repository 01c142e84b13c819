import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

const run = promisify(execFile)

test('the demo shows a token obtained, cached, renewed, repaired, and served while the server is down', async () => {
  const { stdout } = await run('npm', ['run', '--silent', 'demo', '--', '--once'], {
    env: { ...process.env, NO_COLOR: undefined },
  })
  const happened = [
    'token obtained',
    'token served from memory',
    'token renewed behind the scenes, nobody waited',
    'an API refused its token',
    'goes down',
    'the token in hand still serves',
    'is back',
  ]
  for (const text of happened) expect(stdout).toContain(text)
  const row = (name: string): number => Number(new RegExp(`^  ${name} +(\\d+)$`, 'm').exec(stdout)?.[1])
  expect(row('calls made')).toBeGreaterThan(100)
  expect(row('calls failed')).toBe(0)
  expect(row('token requests')).toBeGreaterThanOrEqual(5)
  expect(row('calls that waited for a token')).toBeGreaterThanOrEqual(2)
  // Colours are for terminals.
  expect(stdout).not.toContain('\u001b')
}, 60_000)
