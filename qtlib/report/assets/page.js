// Unpacks the one chart library of this page, draws every chart, and keeps them in the reader's colours.
(async () => {
  const plots = [...document.querySelectorAll('.qt-plot')];
  const words = JSON.parse(document.getElementById('qt-words').textContent);
  if (!plots.length) return;
  const dark = matchMedia('(prefers-color-scheme: dark)');
  const mouse = matchMedia('(pointer: fine)');

  const paint = (layout, isDark) => {
    const ink = isDark ? '#a9b1bc' : '#5d6470', grid = isDark ? 'rgba(162,170,182,.16)' : 'rgba(93,100,112,.16)';
    const line = isDark ? 'rgba(162,170,182,.5)' : 'rgba(93,100,112,.5)', clear = 'rgba(0,0,0,0)';
    const colors = {
      'font.color': ink, 'paper_bgcolor': clear, 'plot_bgcolor': clear, 'legend.bgcolor': clear,
      'hoverlabel.bgcolor': isDark ? '#20262e' : '#fff', 'hoverlabel.font.color': isDark ? '#e8eaee' : '#1b1f27',
      'hoverlabel.bordercolor': line, 'modebar.color': ink, 'modebar.bgcolor': clear,
    };
    for (const axis of Object.keys(layout).filter((key) => /^[xy]axis\d*$/.test(key))) {
      Object.assign(colors, {[`${axis}.gridcolor`]: grid, [`${axis}.zerolinecolor`]: line, [`${axis}.linecolor`]: line});
    }
    (layout.updatemenus || []).forEach((_, i) => {
      Object.assign(colors, {[`updatemenus[${i}].font.color`]: isDark ? '#8a93a0' : ink, [`updatemenus[${i}].bordercolor`]: line});
    });
    return colors;
  };

  const dates = (layout) => Object.entries(layout).filter(([key, axis]) => /^xaxis/.test(key) && axis.type !== 'category').map((entry) => entry[1]);

  try {
    const packed = Uint8Array.from(atob(document.getElementById('qt-plotly').textContent), (c) => c.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream('gzip'));
    const script = document.createElement('script');
    script.textContent = await new Response(stream).text();
    document.head.append(script);
    const buttons = [['toImage', 'zoom2d', 'pan2d', 'resetScale2d']];
    const lang = document.documentElement.lang;
    if (lang !== 'en') {
      const format = {...words.calendar, date: '%d.%m.%Y', time: '%H:%M:%S', dateTime: '%e. %b %Y %X', periods: ['', ''], month: '%b %Y', dayMonth: '%-d. %b', dayMonthYear: '%-d. %b %Y'};
      Plotly.register({moduleType: 'locale', name: lang, dictionary: {}, format});
    }
    const config = {locale: lang, responsive: true, displaylogo: false, displayModeBar: mouse.matches ? 'hover' : false, modeBarButtons: buttons};
    for (const plot of plots) {
      const {data, layout} = JSON.parse(plot.nextElementSibling.textContent);
      if (!mouse.matches) layout.dragmode = false; // a finger scrolls the page
      if (innerWidth < 500) dates(layout).forEach((axis) => { axis.nticks = 3; });
      await Plotly.newPlot(plot, data, layout, config);
      await Plotly.relayout(plot, paint(plot.layout, dark.matches));
    }
  } catch (error) {
    for (const plot of plots) {
      plot.innerHTML = '<p class="qt-unpacked"></p>';
      plot.firstChild.textContent = words.unpacked;
    }
    throw error;
  }
  const PAPER_PX = 672; // what a sheet of A4 or letter leaves between its margins; paper does not wait for a resize
  const repaint = (isDark, width = null) => plots.forEach((plot) => Plotly.relayout(plot, {...paint(plot.layout, isDark), width, autosize: !width}));
  dark.addEventListener('change', () => repaint(dark.matches));
  addEventListener('beforeprint', () => repaint(false, PAPER_PX));
  addEventListener('afterprint', () => repaint(dark.matches));
  document.documentElement.dataset.charts = plots.length;
})();
