// The page of the whole book: its panels, what each asks for and how often.

import { AccountsPanel } from "./accounts_panel.js";
import { BandTiles } from "./band_tiles.js";
import { loadBreaker } from "./breaker_panel.js";
import { loadCascade } from "./cascade_panel.js";
import { CourseCharts } from "./course_charts.js";
import { byId } from "./elements.js";
import { loadEpisodes } from "./episodes_panel.js";
import { loadHeatMap } from "./heat_map_panel.js";
import { Poller, Pollers } from "./polling.js";
import { SaidList } from "./said_list.js";
import { loadSymbols } from "./symbols_panel.js";

export class BookPage {
  constructor(status, failed, caller) {
    this.status = status;
    this.accounts = new AccountsPanel((answer) => status.answered(answer), failed);
    this.tiles = new BandTiles((band) => this.accounts.choose({ band }));
    this.accounts.onFilter = ({ band }) => this.tiles.chosen(band);
    this.course = new CourseCharts();
    this.said = new SaidList(caller());
    const course = async () => {
      await this.course.load();
      this.tiles.show(this.course.course);
    };
    this.breaker = new Poller(3000, () => loadBreaker(caller()), failed);
    this.cascade = new Poller(3000, () => loadCascade(caller()), failed);
    this.pollers = new Pollers(
      this.accounts.poller, new Poller(1500, course, failed), new Poller(2000, loadSymbols, failed), new Poller(3000, loadEpisodes, failed),
      this.breaker, this.cascade, new Poller(10_000, loadHeatMap, failed),
    );
  }

  visible(yes) {
    byId("book").hidden = !yes;
    if (yes) this.pollers.start();
    else this.pollers.stop();
  }

  again() {
    this.pollers.sooner();
  }

  hear(kind, data) {
    this.said.hear(kind, data);
    if (kind === "band" || kind === "account" || kind === "liquidation") this.accounts.hear(data.event);
    if (kind === "breaker") this.breaker.sooner();
    if (kind === "liquidation") this.cascade.sooner();
  }
}
