import { assertion } from './assertion.ts'
import { dpopFetch } from './dpop-fetch.ts'
import { exitTime } from './exit-time.ts'
import type { Benchmark } from './figures.ts'
import { fleetCold } from './fleet-cold.ts'
import { fleetHit } from './fleet-hit.ts'
import { fleetWarm } from './fleet-warm.ts'
import { herd } from './herd.ts'
import { importTime } from './import-time.ts'
import { memory } from './memory.ts'
import { millionKeys } from './million-keys.ts'
import { proof } from './proof.ts'
import { redisDown } from './redis-down.ts'
import { shortTokens } from './short-tokens.ts'
import { userDurable } from './user-durable.ts'
import { userSessions } from './user-sessions.ts'
import { userWarm } from './user-warm.ts'
import { warmGet } from './warm-get.ts'
import { wrappedFetch } from './wrapped-fetch.ts'

/** All benchmarks by name. */
export const benchmarks: ReadonlyMap<string, Benchmark> = new Map([
  ['warm', warmGet],
  ['herd', herd],
  ['short-tokens', shortTokens],
  ['fetch', wrappedFetch],
  ['assertion', assertion],
  ['proof', proof],
  ['dpop-fetch', dpopFetch],
  ['fleet-warm', fleetWarm],
  ['fleet-cold', fleetCold],
  ['fleet-hit', fleetHit],
  ['redis-down', redisDown],
  ['user-warm', userWarm],
  ['user-durable', userDurable],
  ['user-sessions', userSessions],
  ['memory', memory],
  ['million-keys', millionKeys],
  ['import', importTime],
  ['exit', exitTime],
])

/** Those that take minutes: measured when they are asked for by name. */
export const longBenchmarks: ReadonlySet<string> = new Set(['million-keys', 'user-sessions'])
