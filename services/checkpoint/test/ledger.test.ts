import { openDatabase } from "@flashloan/shared/adapters/open";
import { ledgerContract } from "./contract/ledger.ts";

ledgerContract("pglite:", () => openDatabase("pglite:"));
