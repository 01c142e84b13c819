import { assertion } from './assertion.ts'
import { dpopFetch } from './dpop-fetch.ts'
import { exitTime } from './exit-time.ts'
import type { Benchmark } from './figures.ts'
import { herd } from './herd.ts'
import { importTime } from './import-time.ts'
import { keys } from './keys.ts'
import { memory } from './memory.ts'
import { proof } from './proof.ts'
import { shortTokens } from './short-tokens.ts'
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
  ['memory', memory],
  ['keys', keys],
  ['import', importTime],
  ['exit', exitTime],
])
